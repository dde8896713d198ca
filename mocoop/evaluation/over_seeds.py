"""Means over the seeds of otherwise equal runs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mocoop.errors import UserError

MEASURED = ("all", "base", "new", "harmonic_mean")
"""What a run's results may have: accuracy by choice of classes, and the harmonic mean."""


@dataclass(frozen=True)
class SeedMean:
    """Mean and spread of a number over seeds, in percent."""

    mean: float
    std: float
    """Sample standard deviation (n - 1)."""


def over_seeds(results: Sequence[Mapping[str, Any]]) -> dict[str, SeedMean]:
    """Returns the mean test accuracies of runs that differ in their seed alone.

    The keys are those of `MEASURED` that all runs have.

    Args:
        results: the results of each run, as `Run.results` returns them.

    Raises:
        UserError: for fewer than two runs: one has no spread.

    >>> over_seeds([{"all": {"accuracy": 70.0}}, {"all": {"accuracy": 72.0}}])["all"].mean
    71.0
    """
    if len(results) < 2:
        raise UserError(f"Expected the results of two seeds or more, got {len(results)}.")
    means = {}
    for name in MEASURED:
        parts = [result[name] for result in results if name in result]
        if len(parts) == len(results):
            values = [_accuracy(part) for part in parts]
            means[name] = SeedMean(statistics.fmean(values), statistics.stdev(values))
    return means


def _accuracy(part: Mapping[str, Any] | float) -> float:
    """Returns the accuracy in a part of the results; the harmonic mean is a bare number."""
    return float(part["accuracy"] if isinstance(part, Mapping) else part)
