"""Means over seeds: as numpy has them, and only of what all runs have."""

from __future__ import annotations

import numpy as np
import pytest

from mocoop.errors import UserError
from mocoop.evaluation.over_seeds import SeedMean, over_seeds


def test_mean_and_sample_deviation_equal_numpys():
    bases, news = [81.25, 79.5, 80.0], [40.0, 44.0, 39.0]
    results = [
        {"base": {"accuracy": base}, "new": {"accuracy": new}, "harmonic_mean": base - new}
        for base, new in zip(bases, news, strict=True)
    ]
    found = over_seeds(results)
    assert list(found) == ["base", "new", "harmonic_mean"]
    expected = (bases, news, np.subtract(bases, news))
    for part, values in zip(found.values(), expected, strict=True):
        assert part.mean == pytest.approx(np.mean(values))
        assert part.std == pytest.approx(np.std(values, ddof=1))


def test_what_one_run_lacks_is_left_out():
    whole = {"base": {"accuracy": 50.0}, "new": {"accuracy": 40.0}}
    assert list(over_seeds([whole, {"base": {"accuracy": 52.0}}])) == ["base"]


def test_equal_runs_have_no_spread():
    assert over_seeds([{"all": {"accuracy": 7.0}}] * 3) == {"all": SeedMean(7.0, 0.0)}


def test_one_run_is_refused():
    with pytest.raises(UserError, match="two seeds or more, got 1"):
        over_seeds([{"all": {"accuracy": 7.0}}])
