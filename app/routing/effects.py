"""Changes to a picture that may change its routing: pictures in, pictures out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from mocoop.errors import UserError


@dataclass(frozen=True)
class Effects:
    """Strength of each effect, from 0 (none) to 100 (most)."""

    blur: int = 0
    """100 is a Gaussian blur whose radius is a tenth of the shorter side."""
    pixelate: int = 0
    """100 leaves 6 blocks along the shorter side."""
    darken: int = 0
    """100 leaves a tenth of the brightness."""
    grey: int = 0
    """100 removes all colour."""
    sketch: int = 0
    """100 turns the picture into a pencil drawing."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 100:
                raise UserError(f"Effect {name} must be from 0 to 100; got {value}.")

    @property
    def any(self) -> bool:
        """Whether any effect is on."""
        return any(vars(self).values())


def apply_effects(image: Image.Image, effects: Effects) -> Image.Image:
    """Returns a changed copy of an RGB image, of the same size.

    The order is fixed: sketch, grey, darken, blur, pixelate. It imitates a bad photo of a
    drawing.
    """
    changed = image
    if effects.sketch:
        changed = Image.blend(changed, sketch(changed), effects.sketch / 100)
    if effects.grey:
        changed = ImageEnhance.Color(changed).enhance(1 - effects.grey / 100)
    if effects.darken:
        changed = ImageEnhance.Brightness(changed).enhance(1 - 0.9 * effects.darken / 100)
    if effects.blur:
        radius = min(image.size) * effects.blur / 1000
        changed = changed.filter(ImageFilter.GaussianBlur(radius))
    if effects.pixelate:
        changed = pixelate(changed, effects.pixelate)
    return changed.copy() if changed is image else changed


def pixelate(image: Image.Image, amount: int) -> Image.Image:
    """Returns the image in square blocks: about 64 along the shorter side for 1, 6 for 100."""
    side = min(image.size)
    blocks = min(side, round(64 * (6 / 64) ** (amount / 100)))
    size = [max(1, round(length * blocks / side)) for length in image.size]
    small = image.resize((size[0], size[1]), Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.NEAREST)


def sketch(image: Image.Image) -> Image.Image:
    """Returns a pencil drawing: the grey image divided by a blurred copy of itself."""
    grey = ImageOps.grayscale(image)
    radius = max(1.0, min(image.size) / 60)
    values = np.asarray(grey, np.float32)
    around = np.asarray(grey.filter(ImageFilter.GaussianBlur(radius)), np.float32)
    lines = np.clip(255 * (values + 1) / (around + 1), 0, 255).astype(np.uint8)
    return Image.fromarray(lines).convert("RGB")
