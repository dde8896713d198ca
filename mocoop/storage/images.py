"""Opens image files from any source as 8-bit RGB, or says why they cannot be read."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from mocoop.errors import UserError, choose_from
from mocoop.storage.picture_kinds import HEAD, kind_of

MAX_PIXELS = 200_000_000  # MOCOOP_MAX_PIXELS sets another limit
MAX_RATIO = 200  # of the sides; the shorter one is enlarged to what the CLIP takes
STRIP = 2**22  # pixels that are converted at once, so that little more memory is needed
LARGE = 50_000_000  # pixels; larger JPEGs are decoded at a reduced scale
REDUCED = 1024  # pixels that the shorter side of a reduced JPEG has at least
# What Pillow's readers raise on damaged files; RuntimeError comes from the reader of AVIF.
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    RuntimeError,
    struct.error,
    Image.DecompressionBombError,
)
# Only formats that are decoded in this process. For others, such as EPS, Pillow starts other
# programs, to which untrusted files must not be passed.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "AVIF")
TRANSPARENT = "transparent: shown on"  # how a note on transparency starts
GROUNDS = {"white": (255, 255, 255), "grey": (128, 128, 128), "black": (0, 0, 0)}
"""What transparent parts can be shown on → its colour."""
_pillow_limit = threading.Lock()


def open_image(
    source: Path | bytes,
    name: str | None = None,
    ground: str = "white",
    white: float | None = None,
) -> tuple[Image.Image, list[str]]:
    """Returns an RGB image, and notes that say what was changed to make it RGB.

    Transparent images get a plain background, images of more than 8 bits are scaled to 8, and
    CMYK is converted. The first frame of an animation is used, and the camera's orientation is
    applied. JPEGs of more than 50 million pixels are decoded at a reduced scale.

    Args:
        source: a path, or the file's bytes.
        name: name of the image in messages; the path by default.
        ground: what transparent parts are shown on, one of GROUNDS.
        white: the value that is shown as white in images of more than 8 bits; by default it is
            guessed from the image alone.

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
        image = open_lazily(source)
        check_size(image, label)
        if image.format in ("JPEG", "MPO") and image.width * image.height > LARGE:
            whole = image.size
            image.draft(image.mode, (REDUCED, REDUCED))
            notes.append(f"{whole[0]} × {whole[1]} pixels: decoded at {image.width} px width")
        if getattr(image, "n_frames", 1) > 1:
            notes.append("animated: the first frame is used")
            image.seek(0)
        image.load()
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(
            f"{label}: this file is not a readable image. Use JPEG, PNG, BMP, GIF, TIFF, WebP, "
            "HEIC or AVIF."
        ) from error
    except DAMAGED as error:
        raise UserError(
            f"{label}: the image is damaged or cut short. Copy or export it again."
        ) from error
    return _as_rgb(_upright(image, notes), notes, ground, white), notes


def open_lazily(source: Path | bytes) -> Image.Image:
    """Returns an image whose header was read; its pixels are decoded later.

    Raises:
        OSError: for a file that is no image; damaged files raise one of DAMAGED.
    """
    head = source[:HEAD] if isinstance(source, bytes) else _head(source)
    formats: tuple[str, ...] = FORMATS
    Image.preinit()  # the usual readers; else Pillow imports all of its forty for the first file
    if kind_of(head) == "HEIF":
        import pillow_heif  # a large library, loaded only for its files

        pillow_heif.register_heif_opener()
        formats = ("HEIF",)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", UserWarning)  # on damaged camera data
        try:
            return Image.open(_stream(source), formats=formats)
        except Image.DecompressionBombError:
            # Pillow's limit is below ours and can be changed only for the whole process. Nothing
            # is decoded while it is off: the header is read, and `check_size` refuses the rest.
            with _pillow_limit:
                limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
                try:
                    return Image.open(_stream(source), formats=formats)
                finally:
                    Image.MAX_IMAGE_PIXELS = limit


def check_size(image: Image.Image, name: str) -> None:
    """Raises UserError for an image with more pixels than allowed."""
    most = max_pixels()
    if max(image.size) > MAX_RATIO * min(image.size):
        raise UserError(
            f"{name}: {image.width} × {image.height} pixels; one side may be at most {MAX_RATIO} "
            "times as long as the other. Crop it first."
        )
    if image.width * image.height > most:
        raise UserError(
            f"{name}: {image.width} × {image.height} pixels; at most {most // 10**6} million are "
            "allowed. Make it smaller first, or set MOCOOP_MAX_PIXELS to a larger number."
        )


def max_pixels() -> int:
    """Returns the largest number of pixels of an image: MOCOOP_MAX_PIXELS, or 200 million.

    Raises:
        UserError: if MOCOOP_MAX_PIXELS is not a whole number above 0.
    """
    given = os.environ.get("MOCOOP_MAX_PIXELS")
    if not given:
        return MAX_PIXELS
    digits = given.replace("_", "").strip()
    if not digits.isdecimal() or not int(digits):
        raise UserError(
            f"MOCOOP_MAX_PIXELS is {given!r}: expected a number of pixels, such as 200000000."
        )
    return int(digits)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def _stream(source: Path | bytes) -> io.BytesIO | Path:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _upright(image: Image.Image, notes: list[str], of_caller: bool = False) -> Image.Image:
    """Returns the image with the camera's orientation applied, if that can be read.

    An image of the caller's is not changed: one that has to be turned is copied.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow's on damaged camera data
            if of_caller:
                is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
                return ImageOps.exif_transpose(image) if is_turned else image
            ImageOps.exif_transpose(image, in_place=True)  # without a copy
            return image
    except DAMAGED:
        notes.append("the camera's data are damaged: the orientation is as stored")
        return image


def as_rgb(image: Image.Image, name: str, white: float | None = None) -> Image.Image:
    """Returns an open image as 8-bit RGB, converted as `open_image` does.

    Args:
        image: the image.
        name: its name in messages.
        white: the value that is shown as white in images of more than 8 bits; by default it is
            guessed from the image alone.

    Raises:
        UserError: for an image without pixels, or one whose file is damaged.
    """
    if not image.width or not image.height:
        raise UserError(f"{name}: the image is empty: {image.width} × {image.height} pixels.")
    try:
        image.load()
    except DAMAGED as error:
        raise UserError(
            f"{name}: the image is damaged or cut short. Copy or export it again."
        ) from error
    upright = _upright(image, [], of_caller=True)
    return upright if upright.mode == "RGB" else _as_rgb(upright, [], white=white)


def _as_rgb(
    image: Image.Image, notes: list[str], ground: str = "white", white: float | None = None
) -> Image.Image:
    """Returns the image as 8-bit RGB; appends to `notes` what was changed."""
    if is_deep(image):
        top = white or white_of(_brightest(image), image.mode)
        known = "as in training" if white else "guessed from this image alone"
        notes.append(f"more than 8 bits per channel: scaled to 8, {top:g} is white ({known})")
        return _by_strips(image, lambda strip: _scaled(strip, top))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        notes.append(f"{TRANSPARENT} {ground}")
        return _by_strips(image, lambda strip: _on_ground(strip, GROUNDS[ground]))
    if image.mode == "CMYK":
        notes.append("CMYK: converted to RGB")
    return image.convert("RGB")


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yields an image's strips of rows, each with its first row."""
    rows = max(1, STRIP // max(1, image.width))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        if "transparency" in image.info:
            strip.info["transparency"] = image.info["transparency"]
        yield top, strip


def _by_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Returns the RGB image whose strips are converted one after the other."""
    whole = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        whole.paste(convert(strip), (0, top))
    return whole


def _on_ground(image: Image.Image, ground: tuple[int, int, int]) -> Image.Image:
    """Returns a transparent image on a plain background, as RGB."""
    layer = image.convert("RGBA")
    behind = Image.new("RGBA", layer.size, (*ground, 255))
    return Image.alpha_composite(behind, layer).convert("RGB")


def _brightest(image: Image.Image) -> float:
    """Returns the largest value of an image of more than 8 bits, at least 0."""
    tops = [float(np.asarray(strip, np.float64).max(initial=0)) for _, strip in _strips(image)]
    return float(np.max(tops, initial=0.0))


def _scaled(image: Image.Image, top: float) -> Image.Image:
    """Returns an image of more than 8 bits as RGB, where `top` is white."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    return Image.fromarray(np.clip(values / top * 255.0, 0, 255).astype(np.uint8)).convert("RGB")


def is_deep(image: Image.Image) -> bool:
    """Returns whether an image has more than 8 bits per channel."""
    return image.mode.startswith("I") or image.mode == "F"


def white_of(brightest: float, mode: str) -> float:
    """Returns the value that is white in a single image, guessed from its brightest pixel.

    Values above 255 mean that the file uses the range of 16 bits.
    """
    if mode == "F" and brightest <= 1.0:
        return 1.0
    return 65535.0 if brightest > 255 else 255.0
