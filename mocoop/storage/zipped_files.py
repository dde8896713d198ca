"""Reads the files of an untrusted zip one by one, without writing any to the disk."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath
from typing import IO

from mocoop.errors import UserError
from mocoop.storage.archives import IMAGES_ADVICE, Limits, is_content, untrusted_zip

ENTRY_LIMIT = 50_000_000  # bytes of one file


def zipped_files(
    source: IO[bytes],
    name: str,
    limits: Limits | None = None,
    hidden: list[str] | None = None,
) -> dict[str, Callable[[], bytes]]:
    """Returns path → a function that returns the file's bytes, for all files of a zip.

    Hidden files and files that operating systems add are left out. A function raises UserError if
    its file is damaged or larger than 50 MB.

    Args:
        source: the open zip; it must stay open while files are read.
        name: name of the zip in messages.
        limits: how much the zip may contain.
        hidden: a list that gets the paths of the files that are left out.

    Raises:
        UserError: for a file that is no zip, is damaged, encrypted or above the limits, or has
            paths that lead out of it.
    """

    def counts(path: PurePosixPath) -> bool:
        if not is_content(path) and hidden is not None:
            hidden.append(str(path))
        return is_content(path)

    with untrusted_zip(source, name, IMAGES_ADVICE, limits or Limits(), counts) as archive:
        entries = dict(archive.entries)
    source.seek(0)
    opened = zipfile.ZipFile(source)
    return {
        str(path): partial(_read, opened, info, f"{name}/{path}") for path, info in entries.items()
    }


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    if info.file_size > ENTRY_LIMIT:
        raise UserError(
            f"{name}: {info.file_size / 1e6:.0f} MB are too many for one picture; at most "
            f"{ENTRY_LIMIT / 1e6:.0f} MB are allowed. Make it smaller first."
        )
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{name}: damaged in the zip ({error}). Make the zip again.") from error
