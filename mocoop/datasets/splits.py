"""CoOp's rules for few-shot selections and base/new halves."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence


def few_shot(
    train_labels: Sequence[int], val_labels: Sequence[int], shots: int, seed: int
) -> tuple[list[int], list[int]]:
    """Returns indices of the few-shot training and validation items.

    Labels are visited in the order in which they first appear, and `shots` items of each are
    drawn from the whole list (all of them where there are fewer); then `min(shots, 4)`
    validation items from the same generator. Source: CoOp's public data code.
    """
    generator = random.Random(seed)
    train = _sample_each(train_labels, shots, generator)
    val = _sample_each(val_labels, min(shots, 4), generator)
    return train, val


def _sample_each(labels: Sequence[int], shots: int, generator: random.Random) -> list[int]:
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    chosen: list[int] = []
    for indices in members.values():
        chosen += generator.sample(indices, shots) if len(indices) >= shots else indices
    return chosen


def base_size(num_classes: int) -> int:
    """Returns how many classes are base: the first half by label, rounded up."""
    return math.ceil(num_classes / 2)


def random_split(
    labels: Sequence[int], seed: int, train: float = 0.5, val: float = 0.2
) -> tuple[list[int], list[int], list[int]]:
    """Returns seeded train, val and test indices for a set without a split of its own.

    Class by class: a share `train`, a share `val`, the rest for the test; a class with few
    images keeps at least one for training and, with two or more, one for the test.
    """
    generator = random.Random(seed)
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for indices in members.values():
        shuffled = generator.sample(indices, len(indices))
        first = max(1, round(train * len(indices)))
        second = min(first + max(1, round(val * len(indices))), max(first, len(indices) - 1))
        parts[0].extend(shuffled[:first])
        parts[1].extend(shuffled[first:second])
        parts[2].extend(shuffled[second:])
    return parts
