"""Opens image files from any source as 8-bit RGB, or says why they cannot be read."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mocoop.errors import UserError, choose_from

MAX_PIXELS = 50_000_000
# What Pillow's readers raise on damaged files.
DAMAGED = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error)
# Only formats that Pillow decodes itself. For others, such as EPS, it starts other programs, to
# which untrusted files must not be passed.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
TRANSPARENT = "transparent: shown on"  # how a note on transparency starts
GROUNDS = {"white": (255, 255, 255), "grey": (128, 128, 128), "black": (0, 0, 0)}
"""What transparent parts can be shown on → its colour."""


def open_image(
    source: Path | bytes, name: str | None = None, ground: str = "white"
) -> tuple[Image.Image, list[str]]:
    """Returns an RGB image, and notes that say what was changed to make it RGB.

    Transparent images get a plain background, 16-bit images are scaled to 8 bits, and CMYK is
    converted. The first frame of an animation is used, and the camera's orientation is applied.

    Args:
        source: a path, or the file's bytes.
        name: name of the image in messages; the path by default.
        ground: what transparent parts are shown on, one of GROUNDS.

    Raises:
        UserError: for another ground, and for a file that is missing, not an image, damaged, in
            another format, or with too many pixels.
    """
    if ground not in GROUNDS:
        raise choose_from("ground", ground, tuple(GROUNDS))
    label = name or (str(source) if isinstance(source, Path) else "the image")
    if isinstance(source, Path) and not source.is_file():
        raise UserError(f"{label}: no such file. Expected the path of an image.")
    if source == b"" or (isinstance(source, Path) and not source.stat().st_size):
        raise UserError(f"{label}: the file is empty. Copy or export it again.")
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image: Image.Image = Image.open(
                io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS
            )
        if image.width * image.height > MAX_PIXELS:
            raise UserError(
                f"{label}: {image.width} × {image.height} pixels; at most {MAX_PIXELS // 10**6} "
                "million are allowed. Make it smaller first."
            )
        if getattr(image, "n_frames", 1) > 1:
            notes.append("animated: the first frame is used")
            image.seek(0)
        image.load()
        image = ImageOps.exif_transpose(image)
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"{label}: far too many pixels to read. Make it smaller first.") from error
    except UnidentifiedImageError as error:
        raise UserError(
            f"{label}: this file is not a readable image. Use JPEG, PNG, BMP, GIF, TIFF or WebP."
        ) from error
    except DAMAGED as error:
        raise UserError(
            f"{label}: the image is damaged or cut short ({error}). Copy or export it again."
        ) from error
    return _as_rgb(image, notes, ground), notes


def as_rgb(image: Image.Image, name: str) -> Image.Image:
    """Returns an open image as 8-bit RGB, converted as `open_image` does.

    Raises:
        UserError: for an image without pixels, or one whose file is damaged.
    """
    if not image.width or not image.height:
        raise UserError(f"{name}: the image is empty: {image.width} × {image.height} pixels.")
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
    except DAMAGED as error:
        raise UserError(
            f"{name}: the image is damaged or cut short ({error}). Copy or export it again."
        ) from error
    return upright if upright.mode == "RGB" else _as_rgb(upright, [])


def _as_rgb(image: Image.Image, notes: list[str], ground: str = "white") -> Image.Image:
    """Returns the image as 8-bit RGB; appends to `notes` what was changed."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        # Values above 255 mean that the file uses the range of 16 bits.
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        if image.mode == "F" and values.max(initial=0) <= 1.0:
            top = 1.0
        notes.append("more than 8 bits per channel: scaled to 8")
        scaled = np.clip(values / top * 255.0, 0, 255).astype(np.uint8)
        return Image.fromarray(scaled).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        notes.append(f"{TRANSPARENT} {ground}")
        layer = image.convert("RGBA")
        behind = Image.new("RGBA", layer.size, (*GROUNDS[ground], 255))
        return Image.alpha_composite(behind, layer).convert("RGB")
    if image.mode == "CMYK":
        notes.append("CMYK: converted to RGB")
    return image.convert("RGB")
