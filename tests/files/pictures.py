"""Makes odd picture files, as people have them, and says what must come out of each."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def blocks(mode="RGB", size=(64, 48)):
    """Returns a picture that is red on the left and blue on the right."""
    image = Image.new("RGB", size, (200, 20, 20))
    image.paste((20, 20, 200), (size[0] // 2, 0, *size))
    return image.convert(mode)


def encoded(image, kind, **options):
    """Returns the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def heic():
    """Returns the bytes of a HEIC file."""
    import pillow_heif

    buffer = io.BytesIO()
    pillow_heif.from_pillow(blocks()).save(buffer, quality=90)
    return buffer.getvalue()


def damaged_exif():
    """Returns a JPEG whose block of camera data is noise, with sound pixels."""
    whole = encoded(blocks(), "JPEG", quality=95)
    block = b"Exif\0\0MM\0*\0\0\0\x08\0\x03\x01\x12\xff\xff\xff\xff\xff\xff" + b"\xee" * 9
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + whole[2:]


def huge_header(width, height):
    """Returns a PNG that claims this size, with hardly any data."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def deep(brightest, kind="PNG", dtype=np.uint16):
    """Returns a picture of more than 8 bits per pixel, a ramp from 0 to `brightest`."""
    ramp = np.linspace(0, brightest, 64 * 48).astype(dtype).reshape(48, 64)
    return encoded(Image.fromarray(ramp), kind)


READ = {
    "photo.jfif": lambda: encoded(blocks(), "JPEG", quality=95),
    "photo.JPG_large": lambda: encoded(blocks(), "JPEG", quality=95),
    "photo": lambda: encoded(blocks(), "PNG"),
    "photo.heic": heic,
    "photo.HEIF": heic,
    "heic_called.jpg": heic,
    "photo.avif": lambda: encoded(blocks(), "AVIF", quality=90),
    "avif_without_suffix": lambda: encoded(blocks(), "AVIF", quality=90),
    "scan.tif": lambda: encoded(blocks(), "TIFF"),
    "old": lambda: encoded(blocks("P"), "GIF"),
    "bitmap": lambda: encoded(blocks(), "BMP"),
    "web": lambda: encoded(blocks(), "WEBP", lossless=True),
    "plain": lambda: encoded(blocks(), "PPM"),
    "camera.jpg": damaged_exif,
}
"""File name → its bytes, for files that show the red and blue picture."""

NO_PICTURES = {
    "notes.txt": b"P1 is the first player. Nothing to see.",
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "film.mp4": b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41",
    "memo": b"BM is what we call it",
    "table.parquet": b"PAR1\x15\x04",
    "nothing": b"",
}
"""File name → its bytes, for files that are left aside."""
