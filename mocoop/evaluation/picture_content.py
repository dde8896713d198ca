"""Says which pictures show nothing: one flat colour, or noise without any structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FLAT, NOISE = "flat", "noise"
SIDE = 64  # pixels to which a picture is reduced, the small CLIP's own size
LEAST_SPREAD = 2.0
"""Standard deviation of the grey values, 0 to 255; below it a picture is flat."""
LEAST_ALIKE = 0.2
"""Correlation of neighbouring pixels; below it a picture is noise."""
ROWS = 64  # of a picture that are summed together


def without_content(image: Image.Image) -> str:
    """Returns `FLAT`, `NOISE` or, for a picture that may show something, an empty text.

    In pictures of things neighbouring pixels are alike; in pure noise they are independent.
    Noise in blocks that are larger than a pixel of the reduced picture is not recognised.

    Args:
        image: the picture, RGB.
    """
    whole = _grey(image)
    small = _grey(image.resize((SIDE, SIDE), Image.Resampling.BOX))
    if small.std() < LEAST_SPREAD and whole.std() < LEAST_SPREAD:
        return FLAT
    return NOISE if min(neighbours_alike(whole), neighbours_alike(small)) < LEAST_ALIKE else ""


def neighbours_alike(grey: NDArray[np.generic]) -> float:
    """Returns the mean correlation of pixels with those at their right and below, -1 to 1.

    A picture without any spread, or of a single row or column, is wholly alike: 1.

    Args:
        grey: the picture's grey values, (height, width).
    """
    pairs = ((grey[:, :-1], grey[:, 1:]), (grey[:-1], grey[1:]))
    found = [value for pair in pairs if (value := _correlation(*pair)) is not None]
    return sum(found) / len(found) if found else 1.0


def _correlation(one: NDArray[np.generic], other: NDArray[np.generic]) -> float | None:
    """Returns Pearson's correlation of two tables of numbers; None without a spread.

    It is summed in strips: a large picture in float64, several times, would fill the memory.
    """
    sums = np.zeros(5)
    for row in range(0, len(one), ROWS):
        a, b = (part[row : row + ROWS].astype(np.float64).ravel() for part in (one, other))
        sums += (a.sum(), b.sum(), a @ a, b @ b, a @ b)
    of_a, of_b, squares_a, squares_b, products = sums.tolist()
    number = max(one.size, 1)
    spread = (squares_a - of_a**2 / number) * (squares_b - of_b**2 / number)
    return (products - of_a * of_b / number) / spread**0.5 if spread > 0 else None


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("L"))
