"""The files to classify: every file in a folder is a picture, or left aside with a reason."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mocoop.errors import UserError
from mocoop.storage.archives import is_content_name
from mocoop.storage.picture_kinds import NO_PICTURE, is_picture

HIDDEN = "hidden, or added by the operating system"
DEAD_LINK = "a link to nothing"
LOOP = "a link to a folder above it"
SPECIAL = "no regular file"
NOT_UTF8 = "its name is not written in UTF-8"


@dataclass(frozen=True)
class FoundFiles:
    """The files in the given folders, and the given files."""

    pictures: tuple[Path, ...]
    """Files to classify: those given, and the pictures in folders, sorted."""
    aside: Mapping[str, str]
    """Path of every other file, or of a folder that cannot be opened → why it is left aside."""


def find_files(given: Sequence[Path]) -> FoundFiles:
    """Returns the files to classify, and why other files in the given folders are left aside.

    Links to folders are followed. A file that is given by its own path is always classified.

    Raises:
        UserError: if no path is given, none exists, or a folder holds no picture.
    """
    if not given:
        raise UserError("Expected at least one image file or folder of images after the run.")
    if not any(path.exists() for path in given):
        raise UserError(
            f"{given[0]}: no such file. Expected the path of an image or of a folder of images."
        )
    pictures: list[Path] = []
    aside: dict[str, str] = {}
    for path in given:
        if not path.is_dir():
            pictures.append(path)
            continue
        inside, others = [], {}
        for file, reason in _walk(path):
            if reason:
                others[_shown(file)] = reason
            else:
                inside.append(Path(file))
        if not inside:
            left = f" ({reasons_in_words(others)})" if others else ""
            raise UserError(
                f"{path} holds no image{left}. Expected files such as JPEG, PNG, WebP, HEIC or "
                "AVIF."
            )
        pictures += sorted(inside)
        aside |= others
    return FoundFiles(tuple(pictures), aside)


def reasons_in_words(aside: Mapping[str, str]) -> str:
    """Returns how many files were left aside for each reason, the most frequent first.

    >>> reasons_in_words({"a.txt": "not a picture", ".b": "hidden", "c.txt": "not a picture"})
    'not a picture: 2, hidden: 1'
    """
    counts = Counter(aside.values()).most_common()
    return ", ".join(f"{reason}: {count:,}" for reason, count in counts)


def _walk(root: Path) -> Iterator[tuple[str, str]]:
    """Yields every file below a folder with the reason to leave it aside; empty for pictures.

    A folder that cannot be opened counts as one file.
    """
    # Not recursive: folders can be nested more deeply than Python's calls.
    stack: list[tuple[str, bool, frozenset[tuple[int, int]]]] = [(str(root), False, frozenset())]
    while stack:
        folder, hidden, above = stack.pop()
        try:
            status = os.stat(folder)
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                yield folder, LOOP
                continue
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            yield folder, f"the folder cannot be opened ({error.strerror})"
            continue
        for entry in entries:
            out_of_sight = hidden or not is_content_name(entry.name)
            if _is_folder(entry):
                stack.append((entry.path, out_of_sight, above | {identity}))
            else:
                yield entry.path, HIDDEN if out_of_sight else _reason(entry)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself


def _reason(entry: os.DirEntry[str]) -> str:
    """Returns why a file is left aside; empty for a picture."""
    try:
        mode = entry.stat().st_mode
    except OSError:
        return DEAD_LINK
    if not stat.S_ISREG(mode):
        return SPECIAL
    if not is_picture(Path(entry.path)):
        return NO_PICTURE
    return "" if _is_utf8(entry.path) else NOT_UTF8


def _is_utf8(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _shown(path: str) -> str:
    """Returns a path that can be printed; paths that differ still do."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def told(files: Iterable[str], number: int) -> str:
    """Returns the first files as a list in words, and how many there are more."""
    every = list(files)
    more = f" and {len(every) - number:,} more" if len(every) > number else ""
    return ", ".join(every[:number]) + more
