"""Extracts a zip or tar of images, and remembers how its names were read."""

from __future__ import annotations

import json
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from mocoop.errors import UserError
from mocoop.storage.archives import Limits, extract_zip, new_folder
from mocoop.storage.typed_json import decode
from mocoop.storage.untrusted_tar import extract_tar
from mocoop.storage.zip_names import ZipNames, zip_names

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""What the names of archives end in."""
NAMES_FILE = ".mocoop-names.json"  # in the extracted folder: how the names in the zip were read


def archive_suffix(name: str) -> str:
    """Returns what an archive's file name ends in, such as `.tar.gz`; empty for other files."""
    fitting = [suffix for suffix in ARCHIVES if name.lower().endswith(suffix)]
    return max(fitting, key=len, default="")


def extract_images(
    source: Path | IO[bytes], target: Path, limits: Limits, name: str, encoding: str = ""
) -> None:
    """Extracts an untrusted zip or tar of images into a new folder; all or nothing.

    Args:
        source: the archive, as a path or an open file; what it is, its content says.
        target: the new folder; it must not exist.
        limits: how much the archive may contain.
        name: name of the archive in messages.
        encoding: encoding of a zip's names that are not UTF-8; by default it is detected.

    Raises:
        UserError: for an archive that is unsafe, damaged, above the limits or empty.
    """
    with ExitStack() as stack:
        stream = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
        stream.seek(0)
        names = ZipNames()
        # Something must be a zip if it is no tar, so that the message says what is wrong with it.
        if zipfile.is_zipfile(stream) or archive_suffix(name) in ("", ".zip"):
            stream.seek(0)
            names = names_in(stream, encoding)
            extract_zip(stream, target, limits, name, names)
        else:
            stream.seek(0)
            with new_folder(target) as folder:
                if not extract_tar(stream, folder, limits, name):
                    raise UserError(
                        f"{name} contains no file. Expected a folder of images for each class."
                    )
    if names.encoding:
        told = {"in_words": names.in_words()}
        (target / NAMES_FILE).write_text(json.dumps(told), encoding="utf-8")


def names_in(stream: IO[bytes], encoding: str = "") -> ZipNames:
    """Returns how the names of a zip are read; its stream is then at the start again.

    A file that is no zip has no names: whoever extracts it says what is wrong.

    Raises:
        UserError: for an unknown encoding.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            names = zip_names(archive.infolist(), encoding)
    except UserError:
        raise
    # NotImplementedError: of a zip that is split over several disks.
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, ValueError):
        names = ZipNames()
    stream.seek(0)
    return names


def names_in_words(folder: Path) -> str:
    """Returns how the names of the archive were read that this folder was extracted from.

    Empty if there was no doubt.
    """
    try:
        told = decode((folder / NAMES_FILE).read_bytes(), dict[str, Any])
        return str(told["in_words"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
