"""Paired statistics: known values, slow plain versions, bad input."""

from __future__ import annotations

from itertools import product
from math import comb, sqrt

import numpy as np
import pytest
from scipy.stats import binomtest

from mocoop.errors import UserError
from mocoop.evaluation.paired import (
    Interval,
    agreement,
    bootstrap_interval,
    mcnemar_p,
    pair_counts,
    pair_test,
    pair_test_of_counts,
    wilson_interval,
)


def slow_wilson(right, images, z=1.959963984540054):
    """Returns the ends of Wilson's interval: the shares p at |p̂ - p| = z √(p (1 - p) / n)."""
    share = right / images
    # (share - p)² n = z² p (1 - p) is quadratic in p.
    a, b, c = images + z**2, -(2 * images * share + z**2), images * share**2
    root = sqrt(b * b - 4 * a * c)
    return 100 * (-b - root) / (2 * a), 100 * (-b + root) / (2 * a)


@pytest.mark.parametrize(("right", "images"), [(0, 10), (10, 10), (1, 3), (81, 263), (443, 576)])
def test_wilson_equals_its_defining_equation(right, images):
    found = wilson_interval(right, images)
    low, high = slow_wilson(right, images)
    assert found.low == pytest.approx(low, abs=1e-9)
    assert found.high == pytest.approx(high, abs=1e-9)
    assert found.low <= 100 * right / images <= found.high


def test_wilson_has_the_value_in_print():
    """81 of 263: 25.5 % to 36.6 % (Newcombe, Statistics in Medicine 1998, table I)."""
    found = wilson_interval(81, 263)
    assert (round(found.low, 2), round(found.high, 2)) == (25.53, 36.62)


@pytest.mark.parametrize(("right", "images"), [(0, 0), (3, 2), (-1, 4)])
def test_wilson_of_impossible_counts(right, images):
    with pytest.raises(UserError, match="one image or more"):
        wilson_interval(right, images)


def slow_mcnemar(won, lost):
    """Returns the chance of wins that are as rare as these or rarer, by counting all outcomes."""
    total = won + lost
    chances = [comb(total, k) / 2**total for k in range(total + 1)]
    return sum(chance for chance in chances if chance <= chances[won] * (1 + 1e-9))


@pytest.mark.parametrize(("won", "lost"), [*product(range(6), range(6)), (12, 30), (40, 40)])
def test_mcnemar_equals_counting(won, lost):
    assert mcnemar_p(won, lost) == pytest.approx(slow_mcnemar(won, lost), abs=1e-12)


@pytest.mark.parametrize(("won", "lost"), [(0, 1), (3, 9), (271, 5), (1000, 1103)])
def test_mcnemar_equals_scipys_binomial_test(won, lost):
    assert mcnemar_p(won, lost) == pytest.approx(binomtest(won, won + lost).pvalue, rel=1e-9)


def test_mcnemar_has_known_values():
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(5, 0) == pytest.approx(2 / 32)
    assert mcnemar_p(271, 5) < 1e-60


def slow_bootstrap(first, second, resamples, seed):
    """Returns the interval from resamples that are drawn image by image."""
    rng = np.random.default_rng(seed)
    differences = []
    for _ in range(resamples):
        rows = rng.integers(len(first), size=len(first))
        differences.append(100 * (first[rows].mean() - second[rows].mean()))
    return np.quantile(differences, [0.025, 0.975])


def test_bootstrap_equals_drawing_image_by_image():
    rng = np.random.default_rng(3)
    first, second = rng.random(200) < 0.8, rng.random(200) < 0.6
    found = pair_test(first, second)
    low, high = slow_bootstrap(first, second, 4000, seed=5)
    # Both are random: with 4,000 resamples the ends vary by about a fifth of a point.
    assert found.interval.low == pytest.approx(low, abs=0.8)
    assert found.interval.high == pytest.approx(high, abs=0.8)
    # And both are near the normal interval of the paired differences.
    gains = first.astype(float) - second.astype(float)
    half = 196 * gains.std() / sqrt(len(gains))
    assert found.interval.low == pytest.approx(found.difference - half, abs=1.0)


def test_bootstrap_has_a_seed():
    assert bootstrap_interval(900, 400, 5000) == bootstrap_interval(900, 400, 5000, seed=0)
    assert bootstrap_interval(900, 400, 5000) != bootstrap_interval(900, 400, 5000, seed=1)


def test_bootstrap_of_equal_answers_is_zero():
    assert bootstrap_interval(0, 0, 30) == Interval(0.0, 0.0)


def test_a_pair_is_counted():
    first = [True, True, True, False, False, True]
    second = [True, False, False, True, False, True]
    found = pair_test(first, second)
    assert (found.both, found.only_first, found.only_second, found.neither) == (2, 2, 1, 1)
    assert found.images == 6
    assert found.difference == pytest.approx(100 / 6)
    assert found.p_value == 1.0
    turned = pair_test(second, first)
    assert turned.difference == -found.difference
    assert turned.p_value == found.p_value


@pytest.mark.parametrize(("first", "second"), [([], []), ([True], [True, False])])
def test_a_pair_of_other_images(first, second):
    with pytest.raises(UserError, match="same images"):
        pair_test(first, second)


def test_agreement_counts_equal_labels():
    found = agreement([[0, 1, 2, 2], [0, 1, 1, 1], [2, 2, 2, 2]])
    assert found.tolist() == [[100, 50, 50], [50, 100, 0], [50, 0, 100]]


def test_counts_of_a_pair_give_the_same_test():
    first = [True, True, True, False, False, True]
    second = [True, False, False, True, False, True]
    counts = pair_counts(first, second)
    assert counts == {"both": 2, "only_first": 2, "only_second": 1, "neither": 1}
    assert pair_test_of_counts(**counts) == pair_test(first, second)
    with pytest.raises(UserError, match="one image or more"):
        pair_test_of_counts(0, 0, 0, 0)
