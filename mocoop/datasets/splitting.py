"""The seeded split of sets that bring none of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mocoop.datasets.base import SPLITS, Item
from mocoop.datasets.splits import random_split

SPLIT_SEED = 1
RULE = f"by class 50 % train, 20 % validation, 30 % test, seed {SPLIT_SEED}"


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
