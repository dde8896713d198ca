"""Whether a data set is whole: every file there, readable, counted, in one split alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from mocoop.datasets.base import SPLITS, Dataset, Item
from mocoop.datasets.benchmarks import BenchmarkDataset
from mocoop.features.content_keys import ContentKeys
from mocoop.features.decoding import batches

Progress = Callable[[int, int], None]  # done, total


@dataclass(frozen=True)
class Counted:
    """How many there are of something, and how many were published."""

    what: str
    found: int
    published: int | None
    """None where nothing was published."""

    @property
    def right(self) -> bool:
        """Whether the number is the published one, as far as there is one."""
        return self.published is None or self.found == self.published


@dataclass(frozen=True)
class Report:
    """What was found in a data set."""

    name: str
    remarks: tuple[str, ...]
    counts: tuple[Counted, ...]
    """Classes, and images of every split."""
    per_class: dict[str, dict[str, int]]
    """Class name → split → images."""
    missing: tuple[str, ...]
    """Paths of listed images that are not there."""
    unreadable: dict[str, str]
    """Path of an image that is there and cannot be read → why."""
    duplicates: tuple[tuple[str, str], ...]
    """Pairs of a training and a test or validation image with the same content."""

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong; a duplicate is only to be warned of."""
        return not self.missing and not self.unreadable and all(c.right for c in self.counts)


def check(
    dataset: Dataset, cache: Path, workers: int | None = None, progress: Progress | None = None
) -> Report:
    """Returns what is found when every image of a data set is opened.

    Args:
        dataset: any set.
        cache: folder of what is remembered about files.
        workers: processes that decode; None for as many as serve here.
        progress: called with images done and to do.
    """
    items = list({item.id: item for part in dataset.splits.values() for item in part}.values())
    contents, lost = ContentKeys(cache / "contents").of(dataset, items)
    missing = tuple(items[place].id for place in sorted(lost))
    there = [place for place in range(len(items)) if place in contents]
    unreadable: dict[str, str] = {}
    done = 0
    for batch in batches(
        lambda row: dataset.image(items[there[row]]), _size, len(there), 64, workers
    ):
        unreadable |= {items[there[row]].id: why for row, why in batch.unreadable.items()}
        done += len(batch.places) + len(batch.unreadable)
        if progress is not None:
            progress(done, len(there))
    by_id = {items[place].id: content for place, content in contents.items()}
    return Report(
        dataset.name,
        dataset.remarks,
        _counts(dataset),
        _per_class(dataset),
        missing,
        unreadable,
        _duplicates(dataset, by_id),
    )


def _size(image: Image.Image) -> Tensor:
    """Returns an image's size: enough to know that it was decoded."""
    return torch.tensor(image.size)


def _counts(dataset: Dataset) -> tuple[Counted, ...]:
    published = dataset.published if isinstance(dataset, BenchmarkDataset) else None
    found = {"classes": len(dataset.class_names)}
    found |= {split: len(dataset.items(split)) for split in SPLITS}
    return tuple(
        Counted(what, number, None if published is None else getattr(published, what))
        for what, number in found.items()
    )


def _per_class(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Returns class name → split → images; classes of one name are told apart by their label."""
    of_split = {split: Counter(item.label for item in dataset.items(split)) for split in SPLITS}
    twice = {name for name, count in Counter(dataset.class_names).items() if count > 1}
    return {
        f"{name} ({label})" if name in twice else name: {
            split: of_split[split][label] for split in SPLITS
        }
        for label, name in enumerate(dataset.class_names)
    }


def _duplicates(dataset: Dataset, contents: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Returns pairs of items with the same content in training and in another split.

    An item that a set uses twice on purpose, as ImageNet its validation images, is no pair.
    """
    trained: dict[str, Item] = {}
    for item in dataset.items("train"):
        if item.id in contents:
            trained.setdefault(contents[item.id], item)
    pairs = dict.fromkeys(
        (trained[contents[item.id]].id, item.id)
        for split in ("val", "test")
        for item in dataset.items(split)
        if item.id in contents and contents[item.id] in trained
    )
    return tuple(pair for pair in pairs if pair[0] != pair[1])
