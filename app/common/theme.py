"""Colours; each expert has one, the same on every page and in every run."""

from __future__ import annotations

from collections.abc import Sequence

from mocoop.methods import METHODS

# Twelve colours of medium lightness, which are visible on white and on near-black. Any two of them
# can be told apart with normal, red-blind, green-blind and blue-blind vision: their CIEDE2000
# difference is at least 11 (a test measures it). Twelve colours are hard to remember, so the app
# always shows a colour with its name.
EXPERT_COLOURS = (
    "#3579c4",
    "#fe8702",
    "#e6327d",
    "#c8aad7",
    "#8caa6e",
    "#b9148c",
    "#326e5f",
    "#41c8aa",
    "#e61414",
    "#aa7d9b",
    "#aa8cff",
    "#5f7d41",
)
TRAIN, VALIDATION, NEUTRAL, WRONG = "#3579c4", "#fe8702", "#8b94a3", "#c8385a"
INTERVAL = "#4d5766"  # seen on bars of all colours, NEUTRAL too, and on both pages


# The template groups that come with the project → index of their colour. Two groups with the
# same index belong to different data sets.
_KNOWN = {
    "photo": 0,
    "sketch": 1,
    "painting": 2,
    "art": 2,
    "pixelated": 3,
    "low resolution": 3,
    "blurry": 4,
    "many": 4,
    "dark": 5,
    "good": 5,
    "bright": 6,
    "close-up": 7,
    "small": 8,
    "black and white": 9,
    "large": 9,
    "sculpture": 10,
    "texture": 10,
    "satellite": 11,
    "person": 11,
}


# One colour per method, the same in every figure; related methods have similar hues.
METHOD_COLOURS = {key: method.colour for key, method in METHODS.items()}


def expert_colours(experts: Sequence[str]) -> dict[str, str]:
    """Returns expert → colour; known names have a fixed colour, others take the next free one.

    The colours of known names do not depend on their order. With more experts than colours,
    colours repeat.
    """
    indices: dict[str, int] = {}
    for name in experts:
        index = _KNOWN.get(name)
        if index is not None and index not in indices.values():
            indices[name] = index
    free = [index for index in range(len(EXPERT_COLOURS)) if index not in indices.values()]
    others = [name for name in experts if name not in indices]
    for number, name in enumerate(others):
        indices[name] = free[number] if number < len(free) else number % len(EXPERT_COLOURS)
    return {name: EXPERT_COLOURS[indices[name]] for name in experts}
