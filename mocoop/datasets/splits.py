"""Who is in which part: few-shot selections and base/new halves (CoOp), and seeded splits."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from mocoop.config import TrainConfig
from mocoop.datasets.base import SPLITS, Dataset, Item, check_training
from mocoop.errors import UserError, choose_from

SPLIT_SEED = 1
RULE = f"by class 50 % train, 20 % validation, 30 % test, seed {SPLIT_SEED}"


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


def items_of(root: Path, by_class: Mapping[str, Sequence[Path]]) -> tuple[Item, ...]:
    """Returns the items of classes' files; labels count the classes."""
    return tuple(
        Item(path.relative_to(root).as_posix(), label)
        for label, files in enumerate(by_class.values())
        for path in files
    )


def split_by_rule(
    root: Path, by_class: Mapping[str, Sequence[Path]]
) -> dict[str, tuple[Item, ...]]:
    """Returns a seeded split by class: 50 % train, 20 % validation, 30 % test."""
    items = items_of(root, by_class)
    return split_items(items, [item.label for item in items])


def split_items(items: Sequence[Item], strata: Sequence[int]) -> dict[str, tuple[Item, ...]]:
    """Returns a seeded split within each stratum: 50 % train, 20 % validation, 30 % test."""
    parts = random_split(strata, SPLIT_SEED)
    return {
        split: tuple(items[i] for i in part) for split, part in zip(SPLITS, parts, strict=True)
    }


def with_val(splits: Mapping[str, Sequence[Item]]) -> dict[str, tuple[Item, ...]]:
    """Returns splits in which a seeded fifth of the training images is for validation."""
    train = splits["train"]
    labels = [item.label for item in train]
    kept, val, rest = random_split(labels, SPLIT_SEED, train=0.8, val=0.2)
    return {
        "train": tuple(train[i] for i in kept),
        "val": tuple(train[i] for i in val + rest),
        "test": tuple(splits["test"]),
    }


def class_range(choice: str, num_classes: int) -> range:
    """Returns the labels of a choice of classes: all, the base half or the new half.

    Raises:
        UserError: for another word.
    """
    half = base_size(num_classes)
    ranges = {
        "all": range(num_classes),
        "base": range(half),
        "new": range(half, num_classes),
    }
    if choice not in ranges:
        raise UserError(f"classes must be one of {', '.join(ranges)}; got {choice!r}.")
    return ranges[choice]


def few_shot_items(
    config: TrainConfig, dataset: Dataset
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Returns the few-shot training and validation images of a run, by CoOp's rule.

    With a style, only images of that true style are there to be drawn.

    Raises:
        UserError: for a style that the data do not have, or without any training image.
    """
    check_training(dataset)
    if config.style and config.style not in dataset.styles:
        if not dataset.styles:
            raise UserError(
                f"{dataset.name} does not know the style of its images: leave style empty."
            )
        raise choose_from("style", config.style, dataset.styles)
    train, val = (
        [item for item in dataset.items(split) if config.style in ("", item.style)]
        for split in ("train", "val")
    )
    chosen, chosen_val = few_shot(
        [item.label for item in train],
        [item.label for item in val],
        config.shots,
        config.seed,
    )
    # The halves are cut after sampling, as CoOp does, so that base images do not depend on it.
    trained = class_range(config.classes, len(dataset.class_names))
    return (
        tuple(train[i] for i in chosen if train[i].label in trained),
        tuple(val[i] for i in chosen_val if val[i].label in trained),
    )


def shots_missing(config: TrainConfig, classes: int, images: int) -> str | None:
    """Returns a sentence if there are fewer training images than a run asks for, else None.

    Args:
        config: the run's settings.
        classes: that have training images.
        images: that were drawn.
    """
    asked = config.shots * classes
    if images >= asked:
        return None
    return (
        f"{images:,} training images instead of {asked:,}: some classes have fewer than "
        f"{config.shots}."
    )
