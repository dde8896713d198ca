"""Small image files for tests of data sets, each with a content of its own."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image


def picture_bytes(text, suffix=".png", size=(6, 5)):
    """Returns a small image file of a colour that `text` decides."""
    colour = hashlib.sha256(str(text).encode("utf-8", "surrogateescape")).digest()[:3]
    pixels = np.full((size[1], size[0], 3), list(colour), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG" if suffix in (".jpg", ".jpeg") else suffix[1:])
    return buffer.getvalue()


def add_files(root, *paths):
    """Writes a small image at each path below a folder."""
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture_bytes(path, file.suffix.lower()))
