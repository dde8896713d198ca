"""The list of images to skip, beside a data set's images: JSON lines, so that any name fits.

Lists of before, `mocoop-skip.txt` with a path and a tab before the reason, are still read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mocoop.datasets.names import nfc
from mocoop.errors import PathError, UserError
from mocoop.storage.atomic import write_text
from mocoop.storage.typed_json import decode

SKIP_FILE = "mocoop-skip.jsonl"
OLD_SKIP_FILE = "mocoop-skip.txt"


def read_skipped(folder: Path) -> frozenset[str]:
    """Returns the paths of the images to skip, in Unicode NFC; none without a list.

    Raises:
        UserError: for a list that cannot be read.
    """
    new, old = folder / SKIP_FILE, folder / OLD_SKIP_FILE
    # A folder may be called "#1 fan": with a tab, such a line of an old list is no comment.
    lines = [line for line in _lines(old) if not line.startswith("#") or "\t" in line]
    paths = [line.partition("\t")[0].strip() for line in lines]
    for number, line in enumerate(_lines(new), start=1):
        if line.strip():
            paths.append(_path_in(new, number, line))
    return frozenset(nfc(path) for path in paths if path)


def add_skipped(folder: Path, reasons: Mapping[str, str]) -> Path:
    """Adds images to the list of images to skip and returns the path of the list.

    Args:
        folder: folder of the data set.
        reasons: path of an image, as in the set's items → why it is skipped.

    Raises:
        UserError: if the folder is not writable.
    """
    file = folder / SKIP_FILE
    known = read_skipped(folder)
    before = "".join(f"{line}\n" for line in _lines(file) if line)
    lines = [
        json.dumps({"image": path, "reason": " ".join(reason.split())}, ensure_ascii=False)
        for path, reason in reasons.items()
        if nfc(path) not in known
    ]
    return write_beside(file, before + "".join(f"{line}\n" for line in lines))


def write_beside(file: Path, text: str) -> Path:
    """Writes a file in a data set's folder and returns its path.

    Raises:
        UserError: if the folder is not writable.
    """
    try:
        write_text(file, text)
    except OSError as error:
        raise PathError(
            file,
            f" cannot be written ({error.strerror}). Make its folder writable, or copy the "
            "data set to a writable folder.",
        ) from error
    return file


def _path_in(file: Path, number: int, line: str) -> str:
    """Returns the path that a line of the list names."""
    try:
        path = decode(line, dict[str, Any])["image"]
    except (UserError, KeyError):
        path = None
    if not isinstance(path, str):
        raise PathError(
            file,
            f', line {number}: expected {{"image": "cat/1.jpg", "reason": "..."}}; got '
            f"{line[:80]!r}. Fix or remove the line.",
        )
    return path


def _lines(file: Path) -> list[str]:
    """Returns a file's lines without their ends; none without the file."""
    try:
        # Only "\n" ends a line: names may contain other characters that split a text.
        return file.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise PathError(file, f" cannot be read ({error}). Fix or remove it.") from error
