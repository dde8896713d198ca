"""Splits: few-shot selections and base/new halves as in CoOp, and seeded random splits."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from mocoop.config import TrainConfig
from mocoop.datasets.base import SPLITS, Dataset, Item, check_training
from mocoop.datasets.skip_list import SKIP_FILE
from mocoop.errors import UserError, choose_from
from mocoop.shots import ALL_SHOTS

SPLIT_SEED = 1
MOST_VAL = 4  # validation images per class, in CoOp's rule
RULE = f"by class 50 % train, 20 % validation, 30 % test, seed {SPLIT_SEED}"


def few_shot(
    train_labels: Sequence[int],
    val_labels: Sequence[int],
    shots: int,
    seed: int,
    every_val: bool = False,
) -> tuple[list[int], list[int]]:
    """Returns the indices of the few-shot training and validation items.

    For each label, in the order of first appearance, `shots` training items are drawn (all of
    them if there are fewer). Then `min(shots, 4)` validation items per label are drawn with the
    same generator. Source: CoOp's public data code.

    Args:
        train_labels: labels of the training items.
        val_labels: labels of the validation items.
        shots: training items per label; `ALL_SHOTS` takes all, in their order.
        seed: seed of the generator.
        every_val: take all validation items instead.
    """
    generator = random.Random(seed)
    everything = shots == ALL_SHOTS
    train = (
        list(range(len(train_labels)))
        if everything
        else _sample_each(train_labels, shots, generator)
    )
    few = MOST_VAL if everything else min(shots, MOST_VAL)
    val = list(range(len(val_labels))) if every_val else _sample_each(val_labels, few, generator)
    return train, val


def _sample_each(labels: Sequence[int], shots: int, generator: random.Random) -> list[int]:
    """Returns the indices of `shots` random items per label, or of all if there are fewer."""
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    chosen: list[int] = []
    for indices in members.values():
        chosen += generator.sample(indices, shots) if len(indices) >= shots else indices
    return chosen


def base_size(num_classes: int) -> int:
    """Returns the number of base classes: the first half by label, rounded up."""
    return math.ceil(num_classes / 2)


def random_split(
    labels: Sequence[int], seed: int, train: float = 0.5, val: float = 0.2
) -> tuple[list[int], list[int], list[int]]:
    """Returns seeded train, val and test indices for a set without a split.

    Of each class, a share `train` is for training, a share `val` for validation, and the rest
    for testing. Even a small class has one training image and, if it has two, one test image.
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
    """Returns one item per file; the label is the index of its class in `by_class`."""
    return tuple(
        Item(path.relative_to(root).as_posix(), label)
        for label, files in enumerate(by_class.values())
        for path in files
    )


def split_by_rule(
    root: Path, by_class: Mapping[str, Sequence[Path]]
) -> dict[str, tuple[Item, ...]]:
    """Returns a seeded random split by class: 50 % train, 20 % validation, 30 % test."""
    items = items_of(root, by_class)
    return split_items(items, [item.label for item in items])


def split_items(items: Sequence[Item], strata: Sequence[int]) -> dict[str, tuple[Item, ...]]:
    """Returns a seeded random split by stratum: 50 % train, 20 % validation, 30 % test."""
    parts = random_split(strata, SPLIT_SEED)
    return {
        split: tuple(items[i] for i in part) for split, part in zip(SPLITS, parts, strict=True)
    }


def with_val(splits: Mapping[str, Sequence[Item]]) -> dict[str, tuple[Item, ...]]:
    """Returns the splits with a seeded fifth of the training images moved to validation."""
    train = splits["train"]
    labels = [item.label for item in train]
    kept, val, rest = random_split(labels, SPLIT_SEED, train=0.8, val=0.2)
    return {
        "train": tuple(train[i] for i in kept),
        "val": tuple(train[i] for i in val + rest),
        "test": tuple(splits["test"]),
    }


def complete_splits(
    given: Mapping[str, tuple[Item, ...]], note: str
) -> tuple[dict[str, tuple[Item, ...]], str]:
    """Returns training, validation and test items, and the note with what was added.

    Without validation items, a fifth of the training items becomes the validation split. Without
    test items, the validation items are tested on, and are not used for anything else.
    """
    val, test = given.get("val", ()), given.get("test", ())
    if val and test:
        return {"train": tuple(given["train"]), "val": val, "test": test}, note
    splits = with_val({"train": given["train"], "test": test or val})
    if not test:
        note = f"{note}; no test images: the validation images are tested on"
    return splits, f"{note}; validation: a fifth of train, seed {SPLIT_SEED}"


def class_range(choice: str, num_classes: int) -> range:
    """Returns the labels of all classes, of the base classes or of the new classes.

    Raises:
        UserError: if the choice is not all, base or new.
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
    """Returns the few-shot training and validation items of a run, drawn by CoOp's rule.

    If the config has a style, only images of this true style are drawn.

    Raises:
        UserError: for a style that the data do not have, a set without training images, or one
            whose validation images would be trained on although they are its test images.
    """
    check_training(dataset)
    if config.style and config.style not in dataset.styles:
        if not dataset.styles:
            raise UserError(
                f"The styles of the images of {dataset.name} are not known: leave style empty."
            )
        raise choose_from("style", config.style, dataset.styles)
    train, val = (
        [item for item in dataset.items(split) if config.style in ("", item.style)]
        for split in ("train", "val")
    )
    if config.validation == "train":
        if dataset.val_is_test:
            raise UserError(
                f"The validation images of {dataset.name} are its test images: they cannot be "
                "trained on. Choose validation few or all."
            )
        train, val = [*train, *val], []
    chosen, chosen_val = few_shot(
        [item.label for item in train],
        [item.label for item in val],
        config.shots,
        config.seed,
        config.validation == "all",
    )
    # As in CoOp, classes are selected after sampling: base classes have the same images with all.
    wanted = class_range(config.classes, len(dataset.class_names))
    return (
        tuple(train[i] for i in chosen if train[i].label in wanted),
        tuple(val[i] for i in chosen_val if val[i].label in wanted),
    )


def check_every_class(
    dataset: Dataset, classes: Sequence[int], items: Sequence[Item], style: str = ""
) -> None:
    """Raises UserError for a class that would be trained without a single image of it.

    Args:
        dataset: the data set.
        classes: the classes that are trained.
        items: the training images.
        style: the style that all of them have; empty for all styles.
    """
    known = {item.label for item in items}
    missing = [dataset.class_names[label] for label in classes if label not in known]
    if missing:
        more = f", nor have {len(missing) - 1} other classes" if len(missing) > 1 else ""
        of_style = f" of the style {style!r}" if style else ""
        raise UserError(
            f"{missing[0]!r} of {dataset.name} has no training image{of_style}{more}: nothing "
            f"could be learned of it. Add training images, or remove the class. Images in "
            f"{SKIP_FILE} do not count."
        )


def shots_missing(config: TrainConfig, classes: int, images: int) -> str | None:
    """Returns a sentence if there are fewer training images than requested, else None.

    Args:
        config: the run's settings.
        classes: how many classes have training images.
        images: how many training images were drawn.
    """
    requested = config.shots * classes
    if config.shots == ALL_SHOTS or images >= requested:
        return None
    return (
        f"{images:,} training images instead of {requested:,}: some classes have fewer than "
        f"{config.shots}."
    )
