"""Opens uploaded pictures, one or many, in the same way; no Streamlit."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from PIL import Image

from mocoop.errors import UserError
from mocoop.evaluation.many_pictures import GivenPicture, Opened, distinct_names
from mocoop.storage.images import open_image
from mocoop.storage.zipped_files import zipped_files

LARGEST = 640  # pixels along the longer side; larger pictures are scaled down first
LONGEST_NAME = 60


class Upload(Protocol):
    """An uploaded file, open for reading."""

    name: str

    def getvalue(self) -> bytes:
        """Returns the file's bytes."""


def open_upload(
    content: bytes, name: str, ground: str = "white", white: float | None = None
) -> Opened:
    """Returns an uploaded picture, scaled down if it is large, and notes on what was changed.

    Args:
        content: the file's bytes.
        name: its name in messages.
        ground: what transparent parts are shown on, one of `GROUNDS`.
        white: the value that is white in pictures of more than 8 bits, as in the run's training.

    Raises:
        UserError: if the content is not an image, or is damaged.
    """
    image, notes = open_image(content, name, ground, white)
    if max(image.size) > LARGEST:
        notes.append(f"{image.width} × {image.height} pixels, scaled down first")
        image = image.copy()
        image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return image, notes


def shown_name(name: str, longest: int = LONGEST_NAME) -> str:
    """Returns an uploaded file's name in a form that is safe to show: printable and short."""
    plain = "".join(letter for letter in name if letter.isprintable()).strip()
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


def is_zip(file: Upload) -> bool:
    """Returns whether an upload calls itself a zip."""
    return file.name.lower().endswith(".zip")


def given_pictures(
    files: Sequence[Upload], white: float | None = None
) -> tuple[list[GivenPicture], dict[str, str], list[str]]:
    """Returns the pictures of uploads, those inside of zips too, and what is not among them.

    The second value is name → reason of bad zips; the third one the paths of hidden files and of
    files that operating systems add to a zip.

    A picture is read when its turn comes. Its name is its path inside of the zip, or the name of
    the file.

    Args:
        files: pictures and zips of pictures.
        white: the value that is white in pictures of more than 8 bits, as in the run's training.
    """
    found: list[tuple[str, Callable[[], bytes]]] = []
    refused: dict[str, str] = {}
    hidden: list[str] = []
    for file in files:
        if not is_zip(file):
            found.append((file.name, file.getvalue))
            continue
        try:
            entries = zipped_files(io.BytesIO(file.getvalue()), file.name, hidden=hidden)
        except UserError as error:
            refused[shown_name(file.name)] = str(error)
            continue
        found += entries.items()
    names = distinct_names(shown_name(name, 3 * LONGEST_NAME) for name, _ in found)
    pictures = [
        GivenPicture(name, partial(_open, read, name, white))
        for name, (_, read) in zip(names, found, strict=True)
    ]
    return pictures, refused, [shown_name(name) for name in hidden]


def _open(read: Callable[[], bytes], name: str, white: float | None) -> Opened:
    return open_upload(read(), name, white=white)
