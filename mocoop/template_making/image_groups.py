"""Groups of templates by the training images that they help, instead of by their texts.

A template that is right for one style of images alone has a low accuracy over all of them, and
its text is no further from the others than those of templates that help nothing. So it is found
neither by its accuracy nor by grouping text features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mocoop.template_making.feature_checks import NEAR
from mocoop.template_making.group_number import (
    LEAST_GROUPS,
    MOST_GROUPS,
    STABLE,
    Chosen,
    Tried,
    compared,
)
from mocoop.template_making.grouping import agreement, silhouette
from mocoop.template_making.routing import CHOSEN

GAIN = 0.01  # without validation images: least gain in probability of one more group
ROUNDS = 20  # of exchanges
DRAWS = 5  # of images with replacement, for the stability
LEFT = -1  # the group of templates that are in none


def true_probabilities(images: Tensor, labels: Tensor, features: Tensor, scale: float) -> Tensor:
    """Returns the probability of each image's true class by each template, (templates, images).

    Args:
        images: unit features (images, dim).
        labels: positions of the true classes, (images,).
        features: features of templates, (templates, classes, dim).
        scale: scale of the logits.
    """
    rows = torch.arange(len(labels))
    return torch.stack([(scale * images @ one.T).softmax(dim=1)[rows, labels] for one in features])


def chosen_templates(probabilities: Tensor, most: int) -> list[list[int]]:
    """Returns for 1, 2, ... templates those that help the images most together.

    Together they reach `reached`. One after the other is added that adds most; then each is
    exchanged for a better one, until none is better. (This is the facility location problem,
    whose gain is submodular: Nemhauser et al., "An analysis of approximations for maximizing
    submodular set functions", 1978.)

    Args:
        probabilities: (templates, images).
        most: how many to choose.
    """
    path: list[list[int]] = []
    chosen: list[int] = []
    for _ in range(min(most, len(probabilities))):
        chosen = [*chosen, _best_beside(probabilities, chosen)]
        for _ in range(ROUNDS):
            before = list(chosen)
            for place in range(len(chosen)):
                others = chosen[:place] + chosen[place + 1 :]
                better = _best_beside(probabilities, others)
                if reached(probabilities, [*others, better]) > reached(probabilities, chosen):
                    chosen = [*chosen[:place], better, *chosen[place + 1 :]]
            if chosen == before:
                break
        path.append(chosen)
    return path


def reached(probabilities: Tensor, chosen: Sequence[int]) -> float:
    """Returns the images' mean probability of the true class by the two best of some templates.

    A router that always chooses the two best experts could reach it.
    """
    return float(_best_two(probabilities[list(chosen)]).sum(dim=0).mean() / CHOSEN)


def _best_two(probabilities: Tensor) -> Tensor:
    """Returns the two largest probabilities of each image, (2, images); 0 where there are none."""
    nothing = probabilities.new_zeros(CHOSEN, probabilities.shape[1])
    return torch.cat([probabilities, nothing]).double().topk(CHOSEN, dim=0).values


def _best_beside(probabilities: Tensor, chosen: Sequence[int]) -> int:
    """Returns the template that adds most to others."""
    second = _best_two(probabilities[list(chosen)])[-1]
    totals = (probabilities.double() - second).clamp(min=0.0).mean(dim=1)
    totals[list(chosen)] = -1.0
    return int(totals.argmax())


def around(vectors: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """Returns the group of each template, (templates,): that of a chosen one which says nearly
    the same, or `LEFT`.

    Args:
        vectors: centred unit vectors (templates, dim).
        chosen: indices of the templates that each begin a group.
    """
    cosines = vectors @ vectors[list(chosen)].T  # (templates, groups)
    labels = np.where(cosines.max(axis=1) > NEAR, cosines.argmax(axis=1), LEFT)
    labels[list(chosen)] = np.arange(len(chosen))
    return labels


def choose_by_images(
    vectors: np.ndarray,
    probabilities: Tensor,
    seed: int,
    count: int = 0,
    accuracy: Callable[[np.ndarray], float] | None = None,
) -> Chosen:
    """Returns the grouping with the best number of groups among 3 to 8.

    The stable numbers count; if there are none, all of them. The number has the highest accuracy
    on validation images; of equal ones the smallest. Without such images all numbers count, and
    the number grows as long as a group adds 0.01 to the mean probability.

    Args:
        vectors: centred unit vectors of the templates (templates, dim).
        probabilities: from `true_probabilities`, of training images.
        seed: seed of the draws for the stability.
        count: the number of groups, if it is not to be chosen; 0 chooses.
        accuracy: returns the accuracy of groups (templates,), which may be `LEFT`, on validation
            images.
    """
    path = chosen_templates(probabilities, count or MOST_GROUPS)
    generator = np.random.default_rng(seed)
    images = probabilities.shape[1]
    again = [
        chosen_templates(probabilities[:, generator.integers(images, size=images)], len(path))
        for _ in range(DRAWS)
    ]
    most = len(path)
    numbers = range(most, most + 1) if count else range(min(LEAST_GROUPS, most), most + 1)
    tried = []
    for number in numbers:
        labels = around(vectors, path[number - 1])
        inside = labels != LEFT
        tried.append(
            Tried(
                number,
                labels,
                silhouette(vectors[inside], labels[inside], seed),
                _stability([around(vectors, other[number - 1]) for other in again]),
                None if accuracy is None else accuracy(labels),
            )
        )
    best = tried[0]
    if count:
        fewer = f"; there are only {most} different templates" if most < count else ""
        why = f"the number was given{fewer}"
    elif most < 2:
        why = "there are too few different templates for two groups"
    elif accuracy is not None:
        stable = [one for one in tried if one.stability > STABLE]
        best = max(stable or tried, key=lambda one: (one.validation or 0.0, -one.count))
        why = "this number has the best accuracy on validation images"
        why += compared(bool(stable), "training images")
    else:
        for one in tried[1:]:
            now, before = (reached(probabilities, path[n - 1]) for n in (one.count, one.count - 1))
            if now - before < GAIN:
                break
            best = one
        why = "one more would add nearly nothing on the training images"
    return Chosen(best, tuple(tried), why)


def _stability(groupings: Sequence[np.ndarray]) -> float:
    """Returns the mean adjusted Rand index over all pairs of groupings."""
    pairs = [
        agreement(first, second)
        for index, first in enumerate(groupings)
        for second in groupings[index + 1 :]
    ]
    return float(np.mean(pairs))
