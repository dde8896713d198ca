"""Images that a program passes as arguments: checks them and makes a data set of them."""

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
from mocoop.datasets.brightness import white_of_pictures
from mocoop.datasets.in_memory import GivenFeatures, GivenPictures
from mocoop.datasets.splits import few_shot
from mocoop.errors import UserError
from mocoop.storage.images import as_rgb
from mocoop.templates import TemplateSet

Picture: TypeAlias = Path | Image.Image  # a file's path, or a picture in RGB


@dataclass(frozen=True)
class GivenImages:
    """Images that a program passed: pictures, or features without pictures."""

    names: tuple[str, ...]
    """Their names in messages: paths, or indices such as `images[3]`."""
    content: Sequence[Picture] | np.ndarray
    """Pictures, or features (images, dim), fp32."""
    white: float | None = None
    """The value that is white in files of more than 8 bits; None to guess it for each alone."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def width(self) -> int | None:
        """The width of the features; None for pictures."""
        return self.content.shape[1] if isinstance(self.content, np.ndarray) else None

    def items(self, labels: Sequence[int]) -> tuple[Item, ...]:
        """Returns one item per image, with these labels."""
        return tuple(map(Item, self.names, labels))

    def joined(self, others: GivenImages) -> GivenImages:
        """Returns these images followed by the others.

        Raises:
            UserError: if one part is pictures and the other features.
        """
        names = self.names + others.names
        if isinstance(self.content, np.ndarray) != isinstance(others.content, np.ndarray):
            raise UserError(
                "Training and validation images must both be pictures or both be features: got "
                "one of each."
            )
        if isinstance(self.content, np.ndarray):
            return GivenImages(names, np.concatenate([self.content, others.content]))
        return GivenImages(names, [*self.content, *others.content], self.white)

    def dataset(
        self, class_names: tuple[str, ...], templates: TemplateSet, **splits: tuple[Item, ...]
    ) -> Dataset:
        """Returns the images as a data set; splits that are not given are empty."""
        parts = {"train": (), "val": (), "test": ()} | splits
        by_name = dict(zip(self.names, self.content, strict=True))
        if self.width is None:
            return GivenPictures(GIVEN, class_names, parts, templates, by_name, self.white)
        return GivenFeatures(GIVEN, class_names, parts, templates, by_name)


def training_white(images: Any) -> float | None:
    """Returns the value that is white in training images of more than 8 bits.

    None if there are none, or if the images are not pictures.

    Args:
        images: as for `read_pictures`, which also reports what cannot be read.
    """
    listed = not isinstance(images, (str, bytes, os.PathLike, Image.Image))
    entries = _entries(images, "images") if listed else None
    pictures = [
        Path(entry).expanduser() if isinstance(entry, (str, os.PathLike)) else entry
        for entry in entries or ()
        if isinstance(entry, (str, os.PathLike, Image.Image))
    ]
    found = white_of_pictures(pictures)
    return None if found is None else found.value


def read_pictures(
    images: Any, argument: str = "images", white: float | None = None
) -> GivenImages | None:
    """Returns the pictures that were passed; None if the images are not pictures.

    Args:
        images: a sequence of paths, PIL pictures or uint8 arrays (height, width, 3), also grey
            (height, width) or with an alpha channel (height, width, 4); or one uint8 array of
            all pictures, (images, height, width, 3). Anything else may be features.
        argument: the argument's name, for messages.
        white: the value that is white in pictures of more than 8 bits, as in the training; None
            to guess it for each picture alone.

    Raises:
        UserError: for a single picture instead of a list, or for entries that are not pictures;
            the message names all of them.
    """
    if isinstance(images, (str, bytes, os.PathLike, Image.Image)):
        raise UserError(
            f"{argument} must be a list of pictures; got one {type(images).__name__}. Put it in "
            "a list: [picture]."
        )
    entries = _entries(images, argument)
    if entries is None:
        return None
    pictures: list[tuple[str, Picture]] = []
    reasons = []
    for index, entry in enumerate(entries):
        try:
            pictures.append(_read_picture(entry, f"{argument}[{index}]", white))
        except UserError as error:
            reasons.append(str(error))
    if reasons:
        raise unreadable(reasons, len(entries))
    names = tuple(name for name, _ in pictures)
    return GivenImages(names, [picture for _, picture in pictures], white)


def unreadable(reasons: Sequence[str], images: int) -> UserError:
    """Returns the error for pictures that cannot be read; it names all of them.

    Args:
        reasons: one sentence per unreadable picture: which it is and why.
        images: how many pictures there are in total.
    """
    listed = "; ".join(reason.rstrip(".") for reason in reasons)
    return UserError(
        f"{len(reasons)} of {images} images cannot be read: {listed}. Fix them or leave them out."
    )


def check_pictures(dataset: Dataset, parts: Sequence[Sequence[Item]], method: str) -> None:
    """Raises UserError for images that cannot be read, before the image tower is trained.

    Methods that do not train the image tower find such images when features are computed.

    Args:
        dataset: the images.
        parts: the training items and the validation items.
        method: the method's name, for the message.
    """
    if isinstance(dataset, GivenFeatures):
        raise UserError(
            f"{method} encodes the pictures in every step, so features are not enough. Give the "
            "pictures, or choose a method that does not train the image tower."
        )
    reasons = []
    for item in (item for part in parts for item in part):
        try:
            dataset.image(item)
        except UserError as error:
            reasons.append(str(error))
    if reasons:
        raise unreadable(reasons, sum(map(len, parts)))


def set_aside(
    items: tuple[Item, ...], shots: int, seed: int
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Returns the items in two parts: for training, and for validation `shots` per class.

    Raises:
        UserError: if a class would have no training image left.
    """
    fewest = min(Counter(item.label for item in items).values())
    if not isinstance(shots, numbers.Integral) or not 0 < shots < fewest:
        raise UserError(
            f"val_shots is {shots!r}, but the smallest class has {fewest} images, and at least "
            f"one of them must be left for training. Choose 0 to {fewest - 1}."
        )
    held = frozenset(few_shot([item.label for item in items], [], int(shots), seed)[0])
    val = tuple(items[i] for i in sorted(held))
    return tuple(item for i, item in enumerate(items) if i not in held), val


def _entries(images: Any, argument: str) -> Sequence[Any] | None:
    """Returns a sequence of pictures, not yet checked; None if `images` are features."""
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
            "list: [picture]. Features must be floating-point numbers, (images, dim)."
        )
    return list(array) if array.ndim > 2 else None


def _is_picture(entry: Any) -> bool:
    """Returns whether an entry can be a picture rather than a row of features."""
    return isinstance(entry, (str, os.PathLike, Image.Image)) or np.ndim(entry) > 1


def _read_picture(entry: Any, name: str, white: float | None) -> tuple[str, Picture]:
    """Returns a picture and its name in messages: its path, or `name` if it has none.

    Raises:
        UserError: if the entry is not a picture.
    """
    if isinstance(entry, (str, os.PathLike)):
        return str(entry), Path(entry).expanduser()
    if isinstance(entry, Image.Image):
        return name, as_rgb(entry, name, white)
    if not hasattr(entry, "__array__"):
        raise UserError(
            f"{name}: expected a path, a PIL picture or an array; got {type(entry).__name__}"
        )
    array = np.asarray(entry)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    valid = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not valid:
        raise UserError(
            f"{name}: expected a uint8 array (height, width, 3), or grey (height, width), or "
            f"with an alpha channel (height, width, 4); got {array.dtype} {array.shape}"
        )
    return name, as_rgb(Image.fromarray(np.ascontiguousarray(array)), name)
