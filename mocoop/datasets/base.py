"""What every data set is: class names in label order, splits of items, and their images."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from mocoop.errors import UserError
from mocoop.templates import TemplateSet

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Item:
    """One image of a data set."""

    id: str
    """Unique in its data set: a relative path, or the recipe of a drawing."""
    label: int
    """Index into the set's class names."""
    style: str | None = None
    """The true style, where it is known."""


class Stamp(NamedTuple):
    """What is known of a file without reading it."""

    text: str
    """Differs whenever the file could have changed."""
    changed: float
    """When it last did, in seconds since 1970."""


class Contents(NamedTuple):
    """What a reader finds: the classes in label order, and the items of every split."""

    labels: tuple[str, ...]
    """Folder name or label of each class."""
    class_names: tuple[str, ...]
    splits: dict[str, tuple[Item, ...]]
    note: str
    """Which split this is, in words."""


@dataclass(frozen=True)
class Dataset(ABC):
    """A data set: class order is the order of `class_names`, everywhere."""

    name: str
    class_names: tuple[str, ...]
    splits: dict[str, tuple[Item, ...]]
    templates: TemplateSet

    def __post_init__(self) -> None:
        check_class_names(self.class_names)

    @abstractmethod
    def image(self, item: Item) -> Image.Image:
        """Returns the item's picture in RGB."""

    @abstractmethod
    def content_key(self, item: Item) -> str:
        """Returns a text that differs whenever the picture's pixels could differ.

        Where there are stamps, it is a SHA-256 in hexadecimal digits.
        """

    def stamp(self, item: Item) -> Stamp | None:
        """Returns what spares reading a file for its content key; None where nothing does.

        Raises:
            OSError: if there is no such file.
        """
        return None

    @property
    def source(self) -> str:
        """What `load_dataset` finds this set by: its name or path."""
        return self.name

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people should know of the set, such as which split this is, a sentence each."""
        return ()

    def items(self, split: str, labels: Sequence[int] | None = None) -> tuple[Item, ...]:
        """Returns the items of a split, of all classes or of the given labels."""
        items = self.splits[split]
        if labels is None:
            return items
        wanted = frozenset(labels)
        return tuple(item for item in items if item.label in wanted)

    @property
    def val_is_test(self) -> bool:
        """Whether images of the validation split are test images too, as on ImageNet in CoOp.

        What is chosen on validation images is then chosen on test images.
        """
        validation = {item.id for item in self.splits["val"]}
        return any(item.id in validation for item in self.splits["test"])

    @property
    def styles(self) -> tuple[str, ...]:
        """The true styles in order of first appearance; empty where none is known."""
        found = dict.fromkeys(i.style for part in self.splits.values() for i in part if i.style)
        return tuple(found)


def file_key(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_stamp(path: Path) -> Stamp:
    """Returns a file's place, size and time."""
    whole = path.absolute()
    found = whole.stat()
    text = f"{whole}|{found.st_size}|{found.st_mtime_ns}|{found.st_ctime_ns}|{found.st_ino}"
    return Stamp(text, max(found.st_mtime, found.st_ctime))


def check_training(dataset: Dataset) -> None:
    """Raises UserError for a set that has test images alone."""
    if not dataset.items("train"):
        raise UserError(
            f"{dataset.name} has no training images: it is there to be tested on. Train on "
            "another set, as in: mocoop protocol domain-generalization --data imagenet --targets "
            f"{dataset.name}."
        )


def check_class_names(names: Sequence[str]) -> None:
    """Raises UserError unless there are two or more names, all different."""
    if len(names) < 2:
        raise UserError(f"Expected at least two classes, got {len(names)}. Add another class.")
    folded = Counter(" ".join(name.lower().replace("_", " ").split()) for name in names)
    twice = [name for name, count in folded.items() if count > 1]
    if twice:
        raise UserError(
            f"Two classes have the same name {twice[0]!r} (case, spaces and underscores do not "
            "count). A prompt could not tell them apart: rename or merge them."
        )
