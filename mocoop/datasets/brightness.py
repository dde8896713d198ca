"""The value that is white in images of more than 8 bits: one for a whole data set.

Such files do not say how many of their bits are used. A single dark image does not show it; all
training images together do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mocoop.datasets.base import Item
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

    It is the top of the smallest usual range of bits that holds the brightest value. Fractions
    up to 1 are read as 0 to 1. Other fractions that fill less than half of a range are scaled by
    the brightest one.

    Args:
        root: folder that the items' paths are relative to.
        items: the training items; up to 64 of them are looked at.
    """
    candidates = [item for item in items if not item.id.lower().endswith(_ONLY_8_BITS)]
    sample = candidates[:: max(1, len(candidates) // MOST)][:MOST]
    found = [top for top in (_brightest(root / item.id) for item in sample) if top is not None]
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


def any_deep(files: Iterable[Path]) -> bool:
    """Returns whether any of these files is an image of more than 8 bits per channel."""
    candidates = (file for file in files if not file.name.lower().endswith(_ONLY_8_BITS))
    return any(_is_deep(file) for file in candidates)


def _is_deep(file: Path) -> bool:
    try:
        with open_lazily(file) as image:
            return is_deep(image)
    except DAMAGED:
        return False


def _brightest(file: Path) -> tuple[float, bool] | None:
    """Returns an image's largest value, and whether its values are fractions; None for 8 bits.

    Files that cannot be read count as 8 bits here: whoever opens them reports them.
    """
    try:
        with open_lazily(file) as image:
            check_size(image, file.name)
            if not is_deep(image):
                return None
            values = np.asarray(image, dtype=np.float64)
            finite = values[np.isfinite(values)]
            return float(finite.max(initial=0.0)), image.mode == "F"
    except (UserError, *DAMAGED):
        return None
