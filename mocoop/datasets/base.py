"""The base class of all data sets: class names in label order, splits of items, and images."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from mocoop.datasets.names import name_key
from mocoop.errors import UserError
from mocoop.templates import TemplateSet

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a data set; small, since there may be millions."""

    id: str
    """Unique in its data set: a relative path, or what a drawing is made from."""
    label: int
    """Index into the set's class names."""
    style: str | None = None
    """The true style, if it is known."""


class Stamp(NamedTuple):
    """What can be known about a file without reading it."""

    text: str
    """Changes whenever the file may have changed."""
    changed: float
    """Time of the last change, in seconds since 1970."""


class Contents(NamedTuple):
    """What a reader returns: the classes in label order, and the items of every split."""

    labels: tuple[str, ...]
    """Folder name or label of each class."""
    class_names: tuple[str, ...]
    splits: dict[str, tuple[Item, ...]]
    note: str
    """A description of the split, for people."""
    layout: str = ""
    """How the images were laid out, in words."""
    warnings: tuple[str, ...] = ()
    """What may have been read otherwise than it was meant."""
    list_file: str = ""
    """Name of the file that lists the images; empty if the folders say it all."""


@dataclass(frozen=True)
class Dataset(ABC):
    """A data set. Label i is the class `class_names[i]` everywhere."""

    name: str
    class_names: tuple[str, ...]
    splits: dict[str, tuple[Item, ...]]
    templates: TemplateSet

    def __post_init__(self) -> None:
        check_class_names(self.class_names)

    @abstractmethod
    def image(self, item: Item) -> Image.Image:
        """Returns the item's image in RGB."""

    @abstractmethod
    def content_key(self, item: Item) -> str:
        """Returns a string that changes whenever the image's pixels may have changed.

        If `stamp` returns a stamp, this is a SHA-256 in hexadecimal digits.
        """

    def stamp(self, item: Item) -> Stamp | None:
        """Returns the stamp of the item's file; None if the item has no file.

        While the stamp is unchanged, a known content key is valid without reading the file.

        Raises:
            OSError: if the file does not exist.
        """
        return None

    @property
    def source(self) -> str:
        """The name or path that `load_dataset` needs to load this set."""
        return self.name

    @property
    def white_value(self) -> float | None:
        """The value that is white in images of more than 8 bits; None if there are none."""
        return None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What users should know about the set, such as its split; one sentence each."""
        return ()

    def items(self, split: str, labels: Sequence[int] | None = None) -> tuple[Item, ...]:
        """Returns the items of a split: all, or only those with the given labels."""
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
        """The true styles in order of first appearance; empty if none is known."""
        styles = dict.fromkeys(i.style for part in self.splits.values() for i in part if i.style)
        return tuple(styles)


def file_key(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_stamp(path: Path) -> Stamp:
    """Returns the stamp of a file: its path, size, times and inode."""
    whole = path.absolute()
    info = whole.stat()
    text = f"{whole}|{info.st_size}|{info.st_mtime_ns}|{info.st_ctime_ns}|{info.st_ino}"
    return Stamp(text, max(info.st_mtime, info.st_ctime))


def check_training(dataset: Dataset) -> None:
    """Raises UserError for a set without training images."""
    if not dataset.items("train"):
        raise UserError(
            f"{dataset.name} has no training images: it is for testing only. Train on another "
            "set, as in: mocoop protocol domain-generalization --data imagenet --targets "
            f"{dataset.name}."
        )


def check_each_class_trained(
    name: str, class_names: Sequence[str], splits: Mapping[str, Sequence[Item]]
) -> None:
    """Raises UserError for a class without training images, unless the set is only for testing.

    Args:
        name: name of the set, for the message.
        class_names: its classes in label order.
        splits: its items.
    """
    trained = {item.label for item in splits["train"]}
    missing = [text for label, text in enumerate(class_names) if label not in trained]
    if trained and missing:
        raise UserError(
            f"{name} has no training image of the class {missing[0]!r}. Add training images of "
            "this class, or remove its other images."
        )


def check_class_names(names: Sequence[str]) -> None:
    """Raises UserError unless there are two or more names, all different and without NUL."""
    if len(names) < 2:
        raise UserError(f"Expected at least two classes, got {len(names)}. Add another class.")
    unfit = next((name for name in names if "\0" in name), None)
    if unfit is not None:
        raise UserError(f"The class name {unfit[:60]!r} has the character NUL. Rename the class.")
    folded = Counter(map(name_key, names))
    twice = [name for name, count in folded.items() if count > 1]
    if twice:
        raise UserError(
            f"Two classes have the same name {twice[0]!r} (case, spaces and underscores are "
            "ignored). A prompt could not tell them apart: rename or merge them."
        )
