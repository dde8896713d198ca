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


def neighbours_alike(grey: NDArray[np.float64]) -> float:
    """Returns the mean correlation of pixels with those at their right and below, -1 to 1.

    A picture without any spread, or of a single row or column, is wholly alike: 1.
    """
    found = []
    for one, other in ((grey[:, :-1], grey[:, 1:]), (grey[:-1], grey[1:])):
        if one.size > 1 and one.std() > 0 and other.std() > 0:
            found.append(float(np.corrcoef(one.ravel(), other.ravel())[0, 1]))
    return sum(found) / len(found) if found else 1.0


def _grey(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image.convert("L"), dtype=np.float64)
