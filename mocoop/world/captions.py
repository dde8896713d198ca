"""What is said of a scene: templates that name a role, a style or a ground, or leave it open."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from numpy.random import Generator

from mocoop.templates import TemplateSet, fill, load_templates
from mocoop.world.roles import ROLES
from mocoop.world.styles import STYLES
from mocoop.world.things import Thing

PLURAL = "{plural}"
PLAIN = "a photo of a {}."
"""The template that says nothing of role, style or ground."""

# `*` stands for the noun with its role.
MEDIA: dict[str | None, tuple[str, ...]] = {
    None: ("a photo of *", "a picture of *", "an image of *", "*"),
    "photo": ("a good photo of *", "a clear photo of *"),
    "sketch": ("a sketch of *", "a line drawing of *", "a drawing of *"),
    "painting": ("a painting of *", "a painted picture of *"),
    "pixelated": ("a pixelated photo of *", "a low resolution photo of *"),
    "blurry": ("a blurry photo of *", "an unfocused photo of *"),
    "dark": ("a dark photo of *", "a dim photo of *"),
    "bright": ("a bright photo of *", "an overexposed photo of *"),
    "black and white": ("a black and white photo of *", "a grey photo of *"),
    "sculpture": ("a sculpture of *", "an embossed picture of *"),
}
# Singular names in the words for many are there because hard templates are filled with the names
# as they are: "a photo of many cat."
NOUNS: dict[str | None, tuple[str, ...]] = {
    None: ("a {}", "a {}", "the {}", "{}"),
    "large": ("a large {}", "a big {}", "the large {}"),
    "small": ("a small {}", "a tiny {}", "the small {}"),
    "many": ("many {plural}", "a pattern of {plural}", "many {}", "a {} pattern"),
    "framed": ("a framed {}", "a {} in a frame", "a circled {}"),
    "left": ("a {} on the left", "the {} on the left", "the left {}"),
    "right": ("a {} on the right", "the {} on the right", "the right {}"),
    "cropped": ("a close-up of a {}", "a cropped {}", "a close-up {}"),
}
GROUND_TAILS: dict[str, str] = {
    "plain": " on a plain background",
    "white": " on a white background",
}
# Whole templates in the words that hard templates usually have for a role.
_WHOLE: dict[str | None, tuple[str, ...]] = {
    "cropped": ("a close-up photo of a {}", "a cropped photo of a {}"),
}


def scene_templates(roles: Sequence[str] = ROLES, styles: Sequence[str] = STYLES) -> TemplateSet:
    """Returns the groups of hard templates for some roles and styles, and the plain one.

    The first template of a role's group is the one that the role is measured with.
    """
    whole = load_templates("scenes")
    return TemplateSet({name: whole.groups[name] for name in (*roles, *styles)}, whole.zero_shot)


def say(template: str, thing: Thing) -> str:
    """Returns a template with a thing's name, or its plural, in its slot."""
    return fill(template.replace(PLURAL, thing.plural), thing.name)


def with_articles(text: str) -> str:
    """Returns a caption with `an` before a vowel, as in "a photo of an apple"."""
    return re.sub(r"\ba (?=[aeio]|umb|urn)", "an ", text)


def random_template(role: str | None, style: str | None, rng: Generator) -> str:
    """Returns a template for a role and a style, each left open by None, without a full stop."""
    whole = _WHOLE.get(role, ()) if style is None else ()
    if whole and rng.random() < 0.5:
        return _one(whole, rng)
    return _one(MEDIA[style], rng).replace("*", _one(NOUNS[role], rng))


def random_caption(
    things: Mapping[str, Thing], style: str, ground: str, rng: Generator
) -> tuple[str, tuple[str | None, str | None, str | None, Thing]]:
    """Returns a caption that is true of a scene, and what it says: role, style, ground, thing.

    Args:
        things: role → thing.
        style: of the scene.
        ground: of the scene.
        rng: draws what is said and how.
    """
    roles = list(things)
    role = roles[int(rng.integers(len(roles)))]
    thing = things[role]
    said_role = role if rng.random() < 0.7 else None
    said_style = style if rng.random() < 0.6 else None
    said_ground = ground if ground in GROUND_TAILS and rng.random() < 0.3 else None
    text = say(random_template(said_role, said_style, rng), thing)
    if said_ground is not None:
        text += GROUND_TAILS[said_ground]
    if rng.random() < 0.5:
        text = with_articles(text)
    return text + (".", "")[rng.random() < 0.3], (said_role, said_style, said_ground, thing)


def _one(options: Sequence[str], rng: Generator) -> str:
    """Returns one of some texts."""
    return options[int(rng.integers(len(options)))]
