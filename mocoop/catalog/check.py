"""Checks a data set: missing and unreadable files, counts, and images in two splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from mocoop.datasets.base import SPLITS, Dataset, Item
from mocoop.datasets.benchmarks import BenchmarkDataset
from mocoop.datasets.folder import FolderDataset
from mocoop.features.content_keys import ContentKeys
from mocoop.features.decoding import batches

Progress = Callable[[int, int], None]  # done, total


@dataclass(frozen=True)
class Counted:
    """A number of classes or images, and the published number."""

    what: str
    """classes, train, val or test."""
    found: int
    published: int | None
    """None if no number was published."""

    @property
    def right(self) -> bool:
        """Whether the number equals the published one; True if none was published."""
        return self.published is None or self.found == self.published


@dataclass(frozen=True)
class Report:
    """The result of checking a data set."""

    name: str
    remarks: tuple[str, ...]
    counts: tuple[Counted, ...]
    """Numbers of classes and of images in every split."""
    per_class: dict[str, dict[str, int]]
    """Class name → split → number of images."""
    missing: tuple[str, ...]
    """Paths of listed images that do not exist."""
    unreadable: dict[str, str]
    """Path of an existing image that cannot be read → why."""
    duplicates: tuple[tuple[str, str], ...]
    """Pairs of a training and a test or validation image with the same content."""
    two_classes: tuple[tuple[str, str], ...] = ()
    """Pairs of training images with the same content in different classes."""
    layout: str = ""
    """How the images were laid out; empty for sets that are known by name."""
    left_aside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Files beside the images that are not used: reason → paths."""

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong. Duplicates are only a warning."""
        return not self.missing and not self.unreadable and all(c.right for c in self.counts)


def check(
    dataset: Dataset, cache: Path, workers: int | None = None, progress: Progress | None = None
) -> Report:
    """Opens every image of a data set and returns a report.

    Args:
        dataset: any data set.
        cache: the cache folder, for the content keys of files.
        workers: processes that decode; None to choose by the machine and the images.
        progress: called with the numbers of images done and in total.
    """
    items = list({item.id: item for part in dataset.splits.values() for item in part}.values())
    contents, absent = ContentKeys(cache / "contents").of(dataset, items)
    missing = tuple(items[index].id for index in sorted(absent))
    present = [items[index] for index in sorted(contents)]
    unreadable: dict[str, str] = {}
    done = 0
    for batch in batches(
        lambda index: _size(dataset.image(present[index])), len(present), 64, workers
    ):
        unreadable |= {present[index].id: reason for index, reason in batch.unreadable.items()}
        done += len(batch.indices) + len(batch.unreadable)
        if progress is not None:
            progress(done, len(present))
    by_id = {items[index].id: content for index, content in contents.items()}
    return Report(
        dataset.name,
        dataset.remarks,
        _counts(dataset),
        _per_class(dataset),
        missing,
        unreadable,
        _duplicates(dataset, by_id),
        _two_classes(dataset, by_id),
        dataset.layout if isinstance(dataset, FolderDataset) else "",
        dataset.aside if isinstance(dataset, FolderDataset) else {},
    )


def _size(image: Image.Image) -> Tensor:
    """Returns an image's size; nothing more is needed to know that it was decoded."""
    return torch.tensor(image.size)


def _counts(dataset: Dataset) -> tuple[Counted, ...]:
    """Returns the numbers of classes and of images in every split."""
    published = dataset.published if isinstance(dataset, BenchmarkDataset) else None
    found = {"classes": len(dataset.class_names)}
    found |= {split: len(dataset.items(split)) for split in SPLITS}
    return tuple(
        Counted(what, number, None if published is None else getattr(published, what))
        for what, number in found.items()
    )


def _per_class(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Returns class name → split → number of images; equal names get their label as a suffix."""
    by_split = {split: Counter(item.label for item in dataset.items(split)) for split in SPLITS}
    twice = {name for name, count in Counter(dataset.class_names).items() if count > 1}
    return {
        f"{name} ({label})" if name in twice else name: {
            split: by_split[split][label] for split in SPLITS
        }
        for label, name in enumerate(dataset.class_names)
    }


def _duplicates(dataset: Dataset, contents: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Returns pairs of a training item and an item of another split with the same content.

    An item that is in both splits itself, with one id, is not a pair.
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


def _two_classes(dataset: Dataset, contents: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Returns pairs of training items with the same content and different classes."""
    first: dict[str, Item] = {}
    pairs = []
    for item in dataset.items("train"):
        if item.id in contents:
            known = first.setdefault(contents[item.id], item)
            if known.label != item.label:
                pairs.append((known.id, item.id))
    return tuple(pairs)
