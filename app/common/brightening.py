"""Makes dark pictures lighter, for display only; no Streamlit."""

from __future__ import annotations

import numpy as np
from PIL import Image

DARK = 0.5
"""A picture is dark if 99 % of its pixels are darker than this, from 0 (black) to 1 (white)."""
BRIGHTEST = 0.95  # of those pixels after brightening


def brightened(image: Image.Image) -> Image.Image:
    """Returns a dark picture with all pixels made lighter by one factor; others as they are.

    Transparent parts stay transparent.
    """
    *colours, alpha = image.convert("RGBA").split()
    visible = np.asarray(alpha) > 0
    light = np.asarray(image.convert("RGBA").convert("L"))[visible]
    most = float(np.percentile(light, 99)) / 255 if light.size else 1.0
    if most >= DARK:
        return image
    factor = BRIGHTEST / max(most, 1 / 255)
    lighter = [band.point(lambda value: min(255, round(value * factor))) for band in colours]
    return Image.merge("RGBA", (*lighter, alpha)).convert(
        image.mode if image.mode in ("RGB", "RGBA") else "RGB"
    )
