"""Statistics of classifiers that were tested on the same images: plain functions on arrays.

Images are paired: each was classified by all methods. A test of the difference then looks only
at the images on which one method is right and the other is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mocoop.errors import UserError

RESAMPLES = 10_000
CONFIDENCE = 0.95
CLEAR = 0.05
"""A difference with a p-value below it is called clear."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in percent or in percentage points."""

    low: float
    high: float


@dataclass(frozen=True)
class PairTest:
    """Two methods on the same images."""

    both: int
    """Images on which both are right."""
    only_first: int
    """Images on which only the first is right: those that it wins."""
    only_second: int
    """Images on which only the second is right: those that the first loses."""
    neither: int
    """Images on which both are wrong."""
    p_value: float
    """Of McNemar's exact test, two-sided: how likely so uneven wins and losses are by chance."""
    difference: float
    """Accuracy of the first minus that of the second, in percentage points."""
    interval: Interval
    """Paired bootstrap interval of the difference, in percentage points."""

    @property
    def clear(self) -> bool:
        """Whether the difference is more than noise, by McNemar's exact test."""
        return self.p_value < CLEAR

    @property
    def images(self) -> int:
        """The number of images."""
        return self.both + self.only_first + self.only_second + self.neither


def wilson_interval(right: int, images: int, confidence: float = CONFIDENCE) -> Interval:
    """Returns Wilson's score interval of an accuracy, in percent.

    Args:
        right: number of images that are classified correctly.
        images: number of all images.
        confidence: how often such intervals contain the true accuracy, 0 to 1.

    Raises:
        UserError: without images, or for more right images than images.

    Source: Wilson, *Probable inference, the law of succession, and statistical inference*,
    JASA 1927.

    >>> wilson_interval(0, 10)
    Interval(low=0.0, high=27.75327998628892)
    """
    if images < 1 or not 0 <= right <= images:
        raise UserError(
            f"Expected one image or more, and from none to all of them right; got {right} right "
            f"of {images}."
        )
    z = _normal_quantile(confidence)
    share = right / images
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    spread = share * (1 - share) / images + z**2 / (4 * images**2)
    half = z / (1 + z**2 / images) * spread**0.5
    # Rounding errors would make the ends of 0 % and 100 % differ a little from the accuracy.
    low = 0.0 if right == 0 else 100 * (middle - half)
    high = 100.0 if right == images else 100 * (middle + half)
    return Interval(low, high)


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Returns the two-sided p-value of McNemar's exact test; 1 without a difference.

    If both methods were equally good, each image that only one of them gets right would be won
    by either with probability 1/2.

    Args:
        only_first: images on which only the first method is right.
        only_second: images on which only the second method is right.

    Source: McNemar, *Note on the sampling error of the difference between correlated
    proportions*, Psychometrika 1947; the exact form is a binomial test.
    """
    from scipy.special import bdtr  # here: slow to import

    # With probability 1/2 both tails are the same: twice the smaller one, and never above 1.
    total = only_first + only_second
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), total, 0.5)))


def bootstrap_interval(
    only_first: int,
    only_second: int,
    images: int,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Returns the percentile interval of a paired bootstrap of the difference, in points.

    A resample draws as many images as there are, with replacement, each with the answers of both
    methods. Only three numbers of it count: wins, losses, and the rest. They are drawn at once,
    from the multinomial distribution that drawing image by image would give them.

    Args:
        only_first: images on which only the first method is right.
        only_second: images on which only the second method is right.
        images: number of all images.
        resamples: number of resamples.
        confidence: share of the resampled differences inside the interval, 0 to 1.
        seed: seed of the resampling.

    Source: Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13.
    """
    if images < 1:
        raise UserError("Expected one image or more to resample, got none.")
    shares = np.array([only_first, only_second, images - only_first - only_second]) / images
    draws = np.random.default_rng(seed).multinomial(images, shares, size=resamples)
    differences = 100.0 * (draws[:, 0] - draws[:, 1]) / images  # (resamples,)
    outside = (1 - confidence) / 2
    low, high = np.quantile(differences, [outside, 1 - outside])
    return Interval(float(low), float(high))


def pair_test(first: ArrayLike, second: ArrayLike, seed: int = 0) -> PairTest:
    """Returns counts, McNemar's test and the difference with its interval, of two methods.

    Args:
        first: whether the first method is right, (images,).
        second: whether the second method is right, (images,), on the same images.
        seed: seed of the bootstrap.

    Raises:
        UserError: if the arrays have different lengths or are empty.
    """
    return pair_test_of_counts(**pair_counts(first, second), seed=seed)


def pair_counts(first: ArrayLike, second: ArrayLike) -> dict[str, int]:
    """Returns on how many images both, only one, and neither of two methods are right.

    The keys are the fields of `PairTest` for these numbers, so that they can be kept in a file.

    Args:
        first: whether the first method is right, (images,).
        second: whether the second method is right, (images,), on the same images.

    Raises:
        UserError: if the arrays have different lengths or are empty.
    """
    a, b = _flags(first), _flags(second)
    if a.shape != b.shape or not len(a):
        raise UserError(
            "Expected whether each of two methods is right, for the same images and at least one "
            f"image; got {len(a)} and {len(b)} images."
        )
    return {
        "both": int((a & b).sum()),
        "only_first": int((a & ~b).sum()),
        "only_second": int((~a & b).sum()),
        "neither": int((~a & ~b).sum()),
    }


def pair_test_of_counts(
    both: int, only_first: int, only_second: int, neither: int, seed: int = 0
) -> PairTest:
    """Returns McNemar's test and the difference with its interval, from the counts of a pair.

    Args:
        both: images on which both methods are right.
        only_first: images on which only the first is right.
        only_second: images on which only the second is right.
        neither: images on which both are wrong.
        seed: seed of the bootstrap.

    Raises:
        UserError: without images.
    """
    images = both + only_first + only_second + neither
    return PairTest(
        both,
        only_first,
        only_second,
        neither,
        mcnemar_p(only_first, only_second),
        100.0 * (only_first - only_second) / max(images, 1),
        bootstrap_interval(only_first, only_second, images, seed=seed),
    )


def p_in_words(p: float) -> str:
    """Returns a p-value as papers write it.

    >>> p_in_words(0.0004), p_in_words(0.031), p_in_words(0.7)
    ('p < 0.001', 'p = 0.031', 'p = 0.70')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def agreement(predicted: ArrayLike) -> NDArray[np.float64]:
    """Returns the share of images on which two methods say the same, in percent.

    Args:
        predicted: predicted labels, (methods, images).

    Returns:
        (methods, methods), symmetric, 100 on the diagonal.
    """
    labels = np.asarray(predicted)  # (methods, images)
    return np.stack([100.0 * (labels == row).mean(axis=1) for row in labels])


def _flags(values: ArrayLike) -> Flags:
    return np.asarray(values, dtype=bool).reshape(-1)


def _normal_quantile(confidence: float) -> float:
    """Returns how many standard deviations to each side contain this share of a normal."""
    return NormalDist().inv_cdf((1 + confidence) / 2)
