"""How many groups: by silhouette and stability, or by accuracy on validation images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mocoop.template_making.grouping import LEAST, agreement, centred, silhouette, split

Rule = Literal["silhouette", "validation"]
LEAST_GROUPS, MOST_GROUPS = 3, 8
NEAR_BEST = 0.02  # silhouettes this close to the best one are as good
STABLE = 0.7  # mean adjusted Rand index between bootstraps of a stable number of groups


@dataclass(frozen=True)
class Tried:
    """One number of groups, and how good it is."""

    count: int
    """Groups that were asked for."""
    labels: np.ndarray
    """(templates,), numbered by size; there may be fewer groups than `count`."""
    silhouette: float
    stability: float
    """Mean adjusted Rand index between groupings on classes drawn with replacement."""
    validation: float | None = None
    """Accuracy on validation images, in percent; None if it was not measured."""

    @property
    def groups(self) -> int:
        """Groups that there are."""
        return int(self.labels.max()) + 1


@dataclass(frozen=True)
class Chosen:
    """The number of groups that was chosen, and all that were tried."""

    best: Tried
    tried: tuple[Tried, ...]
    why: str
    """The reason, in words."""


def choose_number(
    means: np.ndarray,
    bootstraps: Sequence[np.ndarray],
    method: str,
    seed: int,
    count: int = 0,
    rule: Rule = "silhouette",
    accuracy: Callable[[np.ndarray], float] | None = None,
) -> Chosen:
    """Returns the grouping with the best number of groups among 3 to 8.

    Two groups are tried only where there are too few templates for three: a mixture chooses two
    experts per image, so that of two groups there would be none to choose.

    The stable numbers count; if there are none, all of them. With `silhouette`, those remain
    whose silhouette is within 0.02 of the best one; with `validation` all remain. The one with
    the highest accuracy on validation images is chosen, then the one with fewer groups. Without
    such images it is the one with the best silhouette.

    Args:
        means: mean features of the templates, (templates, dim).
        bootstraps: such means over classes drawn with replacement.
        method: kmeans or linkage.
        seed: seed of k-means.
        count: the number of groups, if it is not to be chosen; 0 chooses.
        rule: silhouette or validation.
        accuracy: returns the accuracy of groups (templates,) on validation images.
    """
    vectors = centred(means)
    most = min(MOST_GROUPS, len(vectors) // LEAST)
    if most < 2 or not vectors.any():
        one = Tried(1, np.zeros(len(vectors), dtype=int), 0.0, 1.0)
        return Chosen(one, (one,), "there are too few different templates for two groups")
    given = min(count, len(vectors) // LEAST)
    numbers = range(given, given + 1) if count else range(min(LEAST_GROUPS, most), most + 1)
    drawn = [centred(bootstrap) for bootstrap in bootstraps]
    tried = []
    for number in numbers:
        labels = split(vectors, number, method, seed)
        again = [split(some, number, method, seed) for some in drawn]
        tried.append(
            Tried(
                number,
                labels,
                silhouette(vectors, labels, seed),
                _mean_agreement(again),
                None if accuracy is None else accuracy(labels),
            )
        )
    if count:
        fewer = f"; {len(vectors)} templates make at most {given} groups" if given < count else ""
        return Chosen(tried[0], tuple(tried), f"the number was given{fewer}")
    stable = [one for one in tried if one.stability > STABLE and one.groups > 1]
    left = stable or [one for one in tried if one.groups > 1] or tried
    lack = compared(bool(stable), "classes")
    if accuracy is None:
        best = max(left, key=lambda one: (round(one.silhouette, 6), -one.count))
        return Chosen(best, tuple(tried), f"this number has the best silhouette{lack}")
    why = "the best accuracy on validation images"
    if rule == "silhouette":
        top = max(one.silhouette for one in left)
        left = [one for one in left if one.silhouette >= top - NEAR_BEST]
        why = (
            "the best silhouette" if len(left) == 1 else f"one of the best silhouettes, then {why}"
        )
    best = max(left, key=lambda one: (one.validation or 0.0, -one.count))
    return Chosen(best, tuple(tried), f"this number has {why}{lack}")


def compared(stable: bool, drawn: str) -> str:
    """Returns which numbers of groups were compared, as the end of a reason.

    Args:
        stable: whether only stable numbers were compared; else there is none, and all were.
        drawn: what the stability was measured with: "classes" or "training images".
    """
    if stable:
        return f", of those numbers whose groups stay nearly the same if other {drawn} are drawn"
    return f"; with no number do the groups stay nearly the same if other {drawn} are drawn"


def _mean_agreement(groupings: Sequence[np.ndarray]) -> float:
    """Returns the mean adjusted Rand index over all pairs; 1 for fewer than two."""
    pairs = [
        agreement(first, second)
        for index, first in enumerate(groupings)
        for second in groupings[index + 1 :]
    ]
    return float(np.mean(pairs)) if pairs else 1.0
