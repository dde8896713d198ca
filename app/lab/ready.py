"""Which settings of the sliders are ready to be shown, and the nearest of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from mocoop.protocols.lab import LabSettings
from mocoop.protocols.lab_grid import Axes


def nearest(chosen: Sequence[LabSettings], axes: Axes) -> tuple[LabSettings, ...]:
    """Returns the nearest settings that the grid has; empty for a data set that it lacks.

    Numbers are near if their ratio is small. Seeds that the grid has stay; if there is none of
    them, all seeds of the grid take their place.

    Args:
        chosen: settings that differ in their seed alone.
        axes: the values in the grid.
    """
    first = chosen[0]
    if first.data not in axes.data:
        return ()
    ready = replace(
        first,
        shots=int(_nearest(first.shots, axes.shots)),
        text_weight=_nearest(first.text_weight, axes.text_weights),
        learning_rate=_nearest(first.learning_rate, axes.learning_rates),
        epochs=min(first.epochs, axes.epochs),
    )
    seeds = [one.seed for one in chosen if one.seed in axes.seeds] or axes.seeds
    return tuple(replace(ready, seed=seed) for seed in seeds)


def _nearest(value: float, known: Sequence[float]) -> float:
    return min(known, key=lambda one: abs(math.log((one + 0.01) / (value + 0.01))))
