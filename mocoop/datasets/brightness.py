"""The value that is white in images of more than 8 bits: one for a whole data set.

Such files do not say how many of their bits are used. A single dark image does not show it; all
training images together do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mocoop.datasets.base import Item, Stamp
from mocoop.errors import UserError
from mocoop.storage.images import DAMAGED, check_size, is_deep, open_lazily

MOST = 64  # training images that are looked at
_ONLY_8_BITS = (".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp", ".heic", ".heif",
                ".avif", ".pbm")  # fmt: skip
_RANGES = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)  # 8, 10, 12, 14 and 16 bits


class White(NamedTuple):
    """The value that is shown as white."""

    value: float
    images: int
    """How many training images it comes from; 0 if the user set it."""

    def in_words(self) -> str:
        """Returns a sentence for people."""
        if not self.images:
            return f"values of more than 8 bits: {self.value:g} is white (set in mocoop.yaml)"
        return (
            f"warning: values of more than 8 bits: 0 is black and {self.value:g} is white in all "
            f"images, judged by {self.images} training images. If that is wrong, set white in "
            "mocoop.yaml"
        )


def white_level(root: Path, items: Sequence[Item]) -> White | None:
    """Returns the white of a data set, from its training images; None if they have 8 bits.

    Args:
        root: folder that the items' paths are relative to.
        items: the training items; up to 64 of them are looked at.
    """
    candidates = [item.id for item in items if not item.id.lower().endswith(_ONLY_8_BITS)]
    return white_of_pictures([root / path for path in _spread(candidates)])


def white_of_pictures(pictures: Sequence[Path | Image.Image]) -> White | None:
    """Returns the white of training pictures; None if they have 8 bits.

    It is the top of the smallest usual range of bits that holds the brightest value. Fractions
    up to 1 are read as 0 to 1. Other fractions that fill less than half of a range are scaled by
    the brightest one.

    Args:
        pictures: files or open pictures; up to 64 of them are looked at.
    """
    candidates = [picture for picture in pictures if _may_be_deep(picture)]
    found = [top for top in map(_brightest, _spread(candidates)) if top is not None]
    if not found:
        return None
    brightest = max(value for value, _ in found)
    top = next((top for top in _RANGES if brightest <= top), brightest)
    if any(is_fraction for _, is_fraction in found):
        if brightest <= 1.0:
            top = 1.0
        elif brightest < top / 2:
            top = brightest
    return White(top, len(found)) if top > 0 else None


def _spread(pictures: Sequence[Any]) -> Sequence[Any]:
    """Returns 64 pictures from all over a sequence, or all of a shorter one."""
    return pictures[:: max(1, len(pictures) // MOST)][:MOST]


def any_deep(files: Iterable[Path]) -> bool:
    """Returns whether any of these files is an image of more than 8 bits per channel."""
    return any(_is_deep(file) for file in files if _may_be_deep(file))


def key_with_white(key: str, white: float | None) -> str:
    """Returns the key of a file's pixels: its content, and the value that is white if it counts.

    Args:
        key: SHA-256 of the file's bytes, in hexadecimal digits.
        white: the value that is white; None if there are no images of more than 8 bits.
    """
    return key if white is None else hashlib.sha256(f"{key}|white {white!r}".encode()).hexdigest()


def stamp_with_white(stamp: Stamp, white: float | None) -> Stamp:
    """Returns a file's stamp, to which the value that is white is added if it counts."""
    return stamp if white is None else stamp._replace(text=f"{stamp.text}|white {white!r}")


def _may_be_deep(picture: Path | Image.Image) -> bool:
    """Returns whether a picture may have more than 8 bits, without opening its file."""
    if isinstance(picture, Path):
        return not picture.name.lower().endswith(_ONLY_8_BITS)
    return is_deep(picture)


def _is_deep(file: Path) -> bool:
    try:
        with open_lazily(file) as image:
            return is_deep(image)
    except DAMAGED:
        return False


def _brightest(picture: Path | Image.Image) -> tuple[float, bool] | None:
    """Returns an image's largest value, and whether its values are fractions; None for 8 bits.

    Files that cannot be read count as 8 bits here: whoever opens them reports them.
    """
    try:
        if isinstance(picture, Image.Image):
            return _largest(picture)
        with open_lazily(picture) as image:
            check_size(image, picture.name)
            return _largest(image)
    except (UserError, *DAMAGED):
        return None


def _largest(image: Image.Image) -> tuple[float, bool] | None:
    if not is_deep(image):
        return None
    values = np.asarray(image, dtype=np.float64)
    finite = values[np.isfinite(values)]
    return float(finite.max(initial=0.0)), image.mode == "F"
