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
            "The large thing in the middle. Other things are around it or behind it.",
            "To ask for the large thing. The plain prompt does not say which thing is meant.",
            "Little more: one prompt suits all pictures.",
        ),
        _ROLE_WORDS,
        _STYLE_WORDS,
    ),
    "details": Rule(
        _some(4, 1),
        _every_style("small"),
        Card(
            "The small thing in a corner. The other things in the picture do not count.",
            "To ask for the small thing. Without training, the large one is named most often.",
            "Little more: one prompt suits all pictures, so a mixture gains little.",
        ),
        _ROLE_WORDS,
        _STYLE_WORDS,
    ),
    "albums": Rule(
        _some(4, 0),
        _DECIDES,
        Card(
            "In photos the large thing, in sketches the small one, in dark pictures the thing "
            "that appears many times.",
            "A mixture can learn a prompt for each role, and a router that knows the styles.",
            "One fixed prompt cannot suit all pictures: what it asks for is wrong in two of the "
            "three styles.",
        ),
        ("large", "small", "many"),
        ("photo", "sketch", "dark"),
        (24, 9, 18),
    ),
    "halves": Rule(
        _some(4, 2),
        _DECIDES,
        Card(
            "In photos the large thing, in sketches the small one, in dark pictures the thing "
            "that appears many times. Most pictures of the base classes are sketches. Most "
            "pictures of the new classes are photos.",
            "A mixture can learn to follow the style. It is then right on the new classes too.",
            "A single prompt cannot suit both halves. On the base classes it learns to ask for "
            "the small thing, which is wrong for most pictures of the new classes.",
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
            "The large face. Other faces are small, in a frame, or there are many of them.",
            "To ask for the large face. The names are similar, and so are the faces.",
            "Differences between faces that the image features do not contain.",
        ),
        _ROLE_WORDS,
        _STYLE_WORDS,
        upright=True,
    ),
    "digits": Rule(
        tuple(digit.name for digit in digits()),
        _every_style("large"),
        Card(
            "The large digit, which is handwritten. Printed digits are around it or behind it.",
            "To ask for the large digit, and a little about how handwriting differs from print.",
            "To tell apart handwritten digits that are the same for the frozen image tower.",
        ),
        _ROLE_WORDS,
        _STYLE_WORDS,
        upright=True,
    ),
    "pictographs": Rule(
        tuple(sorted(pictograph_glyphs())),
        _every_style("large", "small", "cropped"),
        Card(
            "The only thing in the picture: large, small or a close-up.",
            "To name its size and its style. There is only one thing that the words can mean.",
            "Little more: it is always clear which thing is meant. This set is the control.",
        ),
        ("large", "small", "cropped"),
        STYLES,
        alone=True,
    ),
}
