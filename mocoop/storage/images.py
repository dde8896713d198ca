"""Opens image files of any origin as 8-bit RGB, or says why not."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mocoop.errors import UserError

MAX_PIXELS = 50_000_000
# What Pillow's readers raise on damaged files.
DAMAGED = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error)
# Of the formats that Pillow decodes by itself; some others (EPS, for one) it hands on to other
# programs, which a stranger's file must not reach.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def open_image(source: Path | bytes, name: str | None = None) -> tuple[Image.Image, list[str]]:
    """Returns an RGB image and notes on what had to be changed to make it one.

    Transparent images are laid on white, 16-bit ones scaled to 8, CMYK converted, of an
    animation the first frame is taken, and the camera's orientation is applied.

    Args:
        source: a path, or the file's bytes.
        name: what to call it in messages; the path by default.

    Raises:
        UserError: for a file that is missing, no image, damaged, of another
            format, or of too many pixels.
    """
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
                "million are read. Make it smaller first."
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
            f"{label}: its content is no image that can be read, whatever its name says. "
            "Expected JPEG, PNG, BMP, GIF, TIFF or WebP."
        ) from error
    except DAMAGED as error:
        raise UserError(
            f"{label}: the image is damaged or cut short ({error}). Copy or export it again."
        ) from error
    return _as_rgb(image, notes), notes


def as_rgb(image: Image.Image, name: str) -> Image.Image:
    """Returns a picture that is open already as 8-bit RGB, the way `open_image` reads a file.

    Raises:
        UserError: for an empty picture, or one whose file is damaged.
    """
    if not image.width or not image.height:
        raise UserError(f"{name}: a picture of {image.width} × {image.height} pixels is empty.")
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
    except DAMAGED as error:
        raise UserError(
            f"{name}: the image is damaged or cut short ({error}). Copy or export it again."
        ) from error
    return upright if upright.mode == "RGB" else _as_rgb(upright, [])


def _as_rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Returns the image as 8-bit RGB; appends what was done to `notes`."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        # 16-bit files use the whole range; smaller ranges are taken as they come.
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        if image.mode == "F" and values.max(initial=0) <= 1.0:
            top = 1.0
        notes.append("more than 8 bits per channel: scaled to 8")
        scaled = np.clip(values / top * 255.0, 0, 255).astype(np.uint8)
        return Image.fromarray(scaled).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        notes.append("transparent: shown on white")
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    if image.mode == "CMYK":
        notes.append("CMYK: converted to RGB")
    return image.convert("RGB")


def random_crop(image: Image.Image, seed: int, scale: tuple[float, float]) -> Image.Image:
    """Returns a random crop, mirrored every other time; the same for the same seed.

    Args:
        image: the picture.
        seed: draws the crop.
        scale: smallest and largest area of the crop, as a share of the image.
    """
    # Only here, so that files are opened and checked without torch.
    import torch
    from torchvision.transforms import RandomResizedCrop
    from torchvision.transforms import functional as transforms

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        box = RandomResizedCrop.get_params(image, list(scale), [3 / 4, 4 / 3])
        mirror = bool(torch.rand(1) < 0.5)
    cropped = transforms.crop(image, *box)
    return transforms.hflip(cropped) if mirror else cropped
