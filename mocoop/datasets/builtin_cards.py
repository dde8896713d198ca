"""What each built-in set of scenes teaches: its card, its classes, and what its labels mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mocoop.world.styles import STYLES
from mocoop.world.things import digits, everyday, faces, pictograph_glyphs


@dataclass(frozen=True)
class Card:
    """What a set teaches, in words."""

    label: str
    """What the label of a picture means."""
    could: str
    """What a prompt could learn."""
    could_not: str
    """What no prompt, or no single prompt, could learn."""


@dataclass(frozen=True)
class Rule:
    """How a set's pictures and labels come about."""

    classes: tuple[str, ...]
    roles: Mapping[str, tuple[str, ...]]
    """Style → the roles that the labelled thing may have; its keys are the set's styles."""
    card: Card
    group_roles: tuple[str, ...]
    """Roles that have a group of hard templates of their own."""
    group_styles: tuple[str, ...]
    """Styles that have a group of hard templates of their own."""
    counts: tuple[int, int, int] = (36, 9, 18)
    """Pictures per class for training, validation and test."""
    base_styles: Mapping[str, float] = field(default_factory=dict)
    """Share of each style in the base half of the classes; empty for even shares everywhere."""
    new_styles: Mapping[str, float] = field(default_factory=dict)
    """The same in the new half."""
    alone: bool = False
    """Whether the labelled thing is alone in the picture."""
    upright: bool = False
    """Whether things keep their orientation."""


def _every_style(*roles: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(STYLES, roles)


def _some(per_field: int, start: int) -> tuple[str, ...]:
    """Returns so many everyday things of each field, in turn, from the `start`-th on."""
    by_field: dict[str, list[str]] = {}
    for thing in everyday():
        by_field.setdefault(thing.field, []).append(thing.name)
    # In turn, so that the base half has things of every field, as the new half has.
    return tuple(
        names[(start + 2 * turn) % len(names)]
        for turn in range(per_field)
        for names in by_field.values()
    )


_DECIDES = {"photo": ("large",), "sketch": ("small",), "dark": ("many",)}
_ROLE_WORDS = ("large", "small", "many", "framed")
_STYLE_WORDS = ("photo", "sketch", "painting", "dark")

RULES: dict[str, Rule] = {
    "things": Rule(
        _some(6, 0),
        _every_style("large"),
        Card(
            "The main thing, large in the middle; others stand around it or behind it.",
            "To ask for the large thing: the plain words leave open which thing is meant.",
            "Little beyond that: one prompt serves all pictures.",
        ),
        _ROLE_WORDS,
        _STYLE_WORDS,
    ),
    "details": Rule(
        _some(4, 1),
        _every_style("small"),
        Card(
            "The small thing in a corner, whatever else is in the picture.",
            "To ask for the small thing. Without training the large one is named most often.",
            "Nothing more: one prompt serves all pictures, so that a mixture gains little.",
        ),
        _ROLE_WORDS,
        _STYLE_WORDS,
    ),
    "albums": Rule(
        _some(4, 0),
        _DECIDES,
        Card(
            "Photos mean the large thing, sketches the small one, dark pictures the many.",
            "A mixture: a prompt for each role, and a router that tells the styles apart.",
            "A single prompt cannot be right: what it asks for is wrong in two styles of three.",
        ),
        ("large", "small", "many"),
        ("photo", "sketch", "dark"),
        (24, 9, 18),
    ),
    "halves": Rule(
        _some(4, 2),
        _DECIDES,
        Card(
            "Photos mean the large thing, sketches the small one, dark pictures the many. Most "
            "pictures of the base classes are sketches, most of the new classes are photos.",
            "A mixture that goes by the style is right on the new classes too.",
            "A single prompt learns on the base classes to ask for the small thing, which is "
            "wrong for most pictures of the new ones.",
        ),
        ("large", "small", "many"),
        ("photo", "sketch", "dark"),
        (24, 10, 20),
        {"photo": 0.15, "sketch": 0.7, "dark": 0.15},
        {"photo": 0.7, "sketch": 0.15, "dark": 0.15},
    ),
    "faces": Rule(
        tuple(face.name for face in faces()),
        _every_style("large"),
        Card(
            "The large face; other faces are small, framed or many.",
            "To ask for the large face. The names differ in little, and so do the faces.",
            "Which features of a face count: that is in the image features, or it is not.",
        ),
        _ROLE_WORDS,
        _STYLE_WORDS,
        upright=True,
    ),
    "digits": Rule(
        tuple(digit.name for digit in digits()),
        _every_style("large"),
        Card(
            "The large digit, written by hand; printed digits stand around it or behind it.",
            "To ask for the large digit, and a little of how handwriting differs from print.",
            "To read handwriting that the frozen image tower does not tell apart.",
        ),
        _ROLE_WORDS,
        _STYLE_WORDS,
        upright=True,
    ),
    "pictographs": Rule(
        tuple(sorted(pictograph_glyphs())),
        _every_style("large", "small", "cropped"),
        Card(
            "The one thing that is there: large, small or a close-up.",
            "Its size, and its style: there is only one thing that the words could mean.",
            "What is meant is never in doubt: the control, with little to do for one prompt.",
        ),
        ("large", "small", "cropped"),
        STYLES,
        alone=True,
    ),
}
