"""Colours: one for each expert, the same on every page."""

from __future__ import annotations

from collections.abc import Sequence

# Twelve hues that stay apart on white and on near-black, neighbours far from each other.
EXPERT_COLOURS = (
    "#3b82c4",
    "#e07b39",
    "#4aa564",
    "#c74f6b",
    "#8a6fc9",
    "#b58a2b",
    "#2fa5a0",
    "#d06bb0",
    "#7d8f35",
    "#6b7fd7",
    "#a3624a",
    "#5f8799",
)
TRAIN, VALIDATION, NEUTRAL, WRONG = "#3b82c4", "#e07b39", "#8b94a3", "#c74f6b"


def expert_colours(experts: Sequence[str]) -> dict[str, str]:
    """Returns expert → colour by its place in the run's list of experts."""
    return {name: EXPERT_COLOURS[i % len(EXPERT_COLOURS)] for i, name in enumerate(experts)}


# One for each method, the same in every figure; kin have the same hue.
METHOD_COLOURS = {
    "zero-shot": NEUTRAL,
    "ensemble": "#5c6470",
    "coop": "#c74f6b",
    "cocoop": "#d06bb0",
    "prograd": "#b58a2b",
    "kgcoop": "#7d8f35",
    "lasp": "#e07b39",
    "lasp-ln": "#e07b39",
    "lasp-v": "#a3624a",
    "lasp-v-ln": "#a3624a",
    "mocoop": "#3b82c4",
    "mocoop-ln": "#3b82c4",
    "linear-probe": "#4aa564",
    "tip-adapter": "#2fa5a0",
    "tip-adapter-f": "#8a6fc9",
}
