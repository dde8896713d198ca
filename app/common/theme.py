"""Colours: one for each expert, the same on every page and in every run."""

from __future__ import annotations

from collections.abc import Sequence

from mocoop.methods import METHODS

# Twelve hues of middling lightness, which show on white and on near-black. Any two of them
# stay apart for normal, red-blind, green-blind and blue-blind eyes (a test measures it); no
# colour stands without its name, since twelve are many for anybody.
EXPERT_COLOURS = (
    "#3579c4",
    "#fe8702",
    "#b9303a",
    "#c388b5",
    "#a3b367",
    "#a73d65",
    "#6748d8",
    "#2eb5f1",
    "#e33021",
    "#77568d",
    "#9979ff",
    "#be716e",
)
TRAIN, VALIDATION, NEUTRAL, WRONG = "#3579c4", "#fe8702", "#8b94a3", "#c8385a"


# The groups of the templates that come with the project and the place of their colour; two of
# one place are of different sets.
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


# One for each method, the same in every figure; kin have the same hue.
METHOD_COLOURS = {key: method.colour for key, method in METHODS.items()}


def expert_colours(experts: Sequence[str]) -> dict[str, str]:
    """Returns expert → colour: known names have their own, others the first that is left.

    The same names in any order have the same colours, as far as they are known; with more
    experts than colours, colours are used again.
    """
    places: dict[str, int] = {}
    for name in experts:
        place = _KNOWN.get(name)
        if place is not None and place not in places.values():
            places[name] = place
    free = [place for place in range(len(EXPERT_COLOURS)) if place not in places.values()]
    others = [name for name in experts if name not in places]
    for number, name in enumerate(others):
        places[name] = free[number] if number < len(free) else number % len(EXPERT_COLOURS)
    return {name: EXPERT_COLOURS[places[name]] for name in experts}
