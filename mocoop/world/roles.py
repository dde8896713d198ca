"""The part that a thing plays in a scene: how large it is, where it stands, who is with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

IMAGE_SIZE = 64  # pixels, the side of every scene

ROLES = ("large", "small", "many", "framed", "left", "right", "cropped")
BACK_TO_FRONT = ("many", "cropped", "large", "left", "right", "framed", "small")

# Which roles come together in a scene, and how often. A thing in the middle and a close-up would
# hide those at the left and right, so that these never meet.
LAYOUTS: dict[tuple[str, ...], float] = {
    ("large", "small", "many"): 0.16,
    ("large", "framed", "many"): 0.12,
    ("large", "small"): 0.08,
    ("large", "framed"): 0.08,
    ("large", "many"): 0.05,
    ("small", "many"): 0.06,
    ("framed", "many"): 0.06,
    ("left", "right"): 0.16,
    ("left", "right", "many"): 0.10,
    ("cropped", "small"): 0.11,
    ("cropped", "framed"): 0.10,
}

_CORNERS = ((-1, -1), (1, -1), (-1, 1), (1, 1))


class Spot(NamedTuple):
    """Where a thing stands."""

    x: float
    """Of its centre, in pixels from the left."""
    y: float
    """Of its centre, in pixels from the top."""
    size: float
    """Side of its square, in pixels."""


def random_layout(rng: Generator) -> tuple[str, ...]:
    """Returns the roles of a scene with two or three things."""
    weights = np.array(list(LAYOUTS.values()))
    place = int(np.searchsorted(np.cumsum(weights / weights.sum()), rng.random()))
    return list(LAYOUTS)[min(place, len(LAYOUTS) - 1)]


def layouts_with(role: str) -> tuple[tuple[str, ...], ...]:
    """Returns the layouts of several things in which a role occurs."""
    return tuple(layout for layout in LAYOUTS if role in layout)


def spots(roles: Sequence[str], shift: float, rng: Generator) -> dict[str, Spot]:
    """Returns where the things of a scene stand, by role; `many` is no spot but a whole pattern.

    Args:
        roles: of the scene.
        shift: how far things stray from where they usually stand, 1 for the easy setting.
        rng: draws places and sizes.
    """
    middle = IMAGE_SIZE / 2
    alone = len(roles) == 1
    corner, other = rng.permutation(4)[:2]
    found = {}
    for role in roles:
        sway_x, sway_y = rng.uniform(-shift, shift, size=2)
        if role == "large":
            size = rng.uniform(37, 58 if alone else 46)
            found[role] = Spot(middle + 3 * sway_x, middle + 3 * sway_y, size)
        elif role in ("left", "right"):
            side = -1 if role == "left" else 1
            found[role] = Spot(
                middle + 15.5 * side + 1.2 * sway_x, middle + 6 * sway_y, rng.uniform(26, 31)
            )
        elif role == "cropped":
            found[role] = Spot(middle + 6 * sway_x, middle + 6 * sway_y, rng.uniform(70, 84))
        elif role == "framed":
            free = not {"large", "cropped"} & set(roles)
            size = rng.uniform(22, 27) if free else rng.uniform(20, 24)
            right, down = _CORNERS[other]
            reach = middle - 0.68 * size - 4
            found[role] = Spot(
                middle + reach * right + 1.2 * sway_x, middle + reach * down + 1.2 * sway_y, size
            )
        elif role == "small":
            right, down = _CORNERS[corner]
            size = rng.uniform(22, 28)
            reach = middle - 0.5 * size - 2
            found[role] = Spot(
                middle + reach * right + 1.2 * sway_x, middle + reach * down + 1.2 * sway_y, size
            )
    return found
