"""What people hand over as images in a program, checked and made a data set."""

from __future__ import annotations

import numbers
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from mocoop.config import GIVEN
from mocoop.datasets.base import Dataset, Item
from mocoop.datasets.in_memory import GivenFeatures, GivenPictures
from mocoop.datasets.splits import few_shot
from mocoop.errors import UserError
from mocoop.storage.images import as_rgb
from mocoop.templates import TemplateSet

Picture: TypeAlias = Path | Image.Image  # a file's path, or a picture in RGB


@dataclass(frozen=True)
class GivenImages:
    """Images as they were handed over: pictures, or features without them."""

    names: tuple[str, ...]
    """What messages call them: paths, or places such as `images[3]`."""
    content: Sequence[Picture] | np.ndarray
    """Pictures, or features (images, dim), fp32."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def width(self) -> int | None:
        """The width of the features; None for pictures."""
        return self.content.shape[1] if isinstance(self.content, np.ndarray) else None

    def items(self, labels: Sequence[int]) -> tuple[Item, ...]:
        """Returns the images as items with these labels."""
        return tuple(map(Item, self.names, labels))

    def joined(self, others: GivenImages) -> GivenImages:
        """Returns these images and others.

        Raises:
            UserError: if the ones are pictures and the others features.
        """
        names = self.names + others.names
        if isinstance(self.content, np.ndarray) != isinstance(others.content, np.ndarray):
            raise UserError(
                "Training and validation images must be of one kind: got pictures and features."
            )
        if isinstance(self.content, np.ndarray):
            return GivenImages(names, np.concatenate([self.content, others.content]))
        return GivenImages(names, [*self.content, *others.content])

    def dataset(
        self, class_names: tuple[str, ...], templates: TemplateSet, **splits: tuple[Item, ...]
    ) -> Dataset:
        """Returns the images as a data set; splits that are not given are empty."""
        parts = {"train": (), "val": (), "test": ()} | splits
        by_name = dict(zip(self.names, self.content, strict=True))
        kind = GivenPictures if self.width is None else GivenFeatures
        return kind(GIVEN, class_names, parts, templates, by_name)


def read_pictures(images: Any, argument: str = "images") -> GivenImages | None:
    """Returns pictures that were handed over; None where the images are no pictures.

    Args:
        images: a sequence of paths, PIL pictures or uint8 arrays (height, width, 3), also grey
            (height, width) or with an alpha channel (height, width, 4); or one uint8 array of
            all pictures, (images, height, width, 3). Anything else is taken for features.
        argument: the argument's name, for messages.

    Raises:
        UserError: for a single picture, or some that are no pictures; all of these are named.
    """
    if isinstance(images, (str, bytes, os.PathLike, Image.Image)):
        raise UserError(
            f"{argument} must be a list of pictures; got one {type(images).__name__}. Put it in "
            "a list: [picture]."
        )
    entries = _entries(images, argument)
    if entries is None:
        return None
    found: list[tuple[str, Picture]] = []
    wrong = []
    for place, entry in enumerate(entries):
        try:
            found.append(_read_picture(entry, f"{argument}[{place}]"))
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise unreadable(wrong, len(entries))
    return GivenImages(tuple(name for name, _ in found), [picture for _, picture in found])


def unreadable(reasons: Sequence[str], images: int) -> UserError:
    """Returns the error for pictures that cannot be read, all of which it names.

    Args:
        reasons: which picture and why, a sentence for each.
        images: how many pictures there are in all.
    """
    every = "; ".join(reason.rstrip(".") for reason in reasons)
    return UserError(
        f"{len(reasons)} of {images} images cannot be read: {every}. Mend them or leave them out."
    )


def check_pictures(dataset: Dataset, parts: Sequence[Sequence[Item]], method: str) -> None:
    """Raises UserError for images that a method which trains the image tower cannot look at.

    Other methods find them while features are computed.

    Args:
        dataset: the images.
        parts: those that are trained on, and those for validation.
        method: the method's name, for the message.
    """
    if isinstance(dataset, GivenFeatures):
        raise UserError(
            f"{method} looks at the pictures in every step, so that features are not enough. "
            "Give the pictures, or choose a method that leaves the image tower as it is."
        )
    wrong = []
    for item in (item for part in parts for item in part):
        try:
            dataset.image(item)
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise unreadable(wrong, sum(map(len, parts)))


def set_aside(
    items: tuple[Item, ...], shots: int, seed: int
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Returns training items and, drawn from them, validation items: some of each class.

    Raises:
        UserError: for a class that would have no training image left.
    """
    fewest = min(Counter(item.label for item in items).values())
    if not isinstance(shots, numbers.Integral) or not 0 < shots < fewest:
        raise UserError(
            f"val_shots is {shots!r}, but the smallest class has {fewest} images, of which at "
            f"least one must be left to train on. Choose 0 to {fewest - 1}."
        )
    held = frozenset(few_shot([item.label for item in items], [], int(shots), seed)[0])
    val = tuple(items[i] for i in sorted(held))
    return tuple(item for i, item in enumerate(items) if i not in held), val


def _entries(images: Any, argument: str) -> Sequence[Any] | None:
    """Returns the single pictures of what was given; None where it holds features."""
    if isinstance(images, (list, tuple)):
        if not images:
            raise UserError(f"{argument} is empty: expected at least one picture.")
        return images if _is_picture(images[0]) else None
    if hasattr(images, "to_list"):  # a pandas Series of paths
        return _entries(images.to_list(), argument)
    if not hasattr(images, "__array__") or hasattr(images, "columns"):
        return None
    array = np.asarray(images)
    if array.ndim == 1 and array.dtype.kind in "OUS":
        return _entries(array.tolist(), argument)
    grey = array.ndim == 2 and array.dtype == np.uint8
    if grey or (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise UserError(
            f"{argument} is an array {array.shape}, which looks like one picture. Put it in a "
            "list: [picture]. Features are expected as numbers with a fraction, (images, dim)."
        )
    return list(array) if array.ndim > 2 else None


def _is_picture(entry: Any) -> bool:
    """Returns whether something can be meant as a picture, and not as the row of a table."""
    return isinstance(entry, (str, os.PathLike, Image.Image)) or np.ndim(entry) > 1


def _read_picture(entry: Any, called: str) -> tuple[str, Picture]:
    """Returns a picture with what to call it.

    Raises:
        UserError: for what is no picture.
    """
    if isinstance(entry, (str, os.PathLike)):
        return str(entry), Path(entry).expanduser()
    if isinstance(entry, Image.Image):
        return called, as_rgb(entry, called)
    if not hasattr(entry, "__array__"):
        raise UserError(
            f"{called}: expected a path, a PIL picture or an array; got {type(entry).__name__}"
        )
    array = np.asarray(entry)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    good = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not good:
        raise UserError(
            f"{called}: expected a uint8 array (height, width, 3), or grey (height, width), or "
            f"with an alpha channel (height, width, 4); got {array.dtype} {array.shape}"
        )
    return called, as_rgb(Image.fromarray(np.ascontiguousarray(array)), called)
