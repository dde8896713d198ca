"""A folder with everything below it, read once: subfolders, pictures and other files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mocoop.datasets.names import check_unicode
from mocoop.errors import PathError
from mocoop.storage.archives import is_content_name
from mocoop.storage.picture_kinds import is_picture

DEEPEST = 200  # folders inside of each other


@dataclass(frozen=True)
class Folder:
    """A folder; hidden files and files that operating systems add are not in it."""

    path: Path
    folders: tuple[Folder, ...]
    """Its subfolders, sorted by name; links to folders are followed."""
    pictures: tuple[str, ...]
    """Names of the pictures directly in it, sorted."""
    others: tuple[str, ...]
    """Names of the other files directly in it, sorted."""

    @property
    def name(self) -> str:
        """Its name, without the folders above it."""
        return self.path.name

    def images(self) -> list[Path]:
        """Returns the paths of all pictures in it and below it, sorted."""
        return sorted(folder.path / name for folder in self.walk() for name in folder.pictures)

    def walk(self) -> Iterator[Folder]:
        """Yields the folder and all folders below it."""
        yield self
        for folder in self.folders:
            yield from folder.walk()


def read_tree(root: Path) -> Folder:
    """Returns a folder with everything below it.

    Raises:
        UserError: for a link to a parent folder, a name that is not UTF-8, or a folder that
            cannot be opened or is nested too deeply.
    """
    return _read(root, frozenset())


def subfolders(folder: Path) -> list[Path]:
    """Returns the subfolders of a folder, sorted, with links to folders, without hidden ones."""
    with os.scandir(folder) as entries:
        return sorted(
            Path(entry.path) for entry in entries if is_content_name(entry.name) and entry.is_dir()
        )


def _read(path: Path, above: frozenset[tuple[int, int]]) -> Folder:
    status = os.stat(path)
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        raise PathError(
            path,
            " is a link to a folder above it, so its list of images would never end. "
            "Remove the link.",
        )
    if len(above) > DEEPEST:
        raise PathError(path, f" is more than {DEEPEST} folders deep. Move its images up.")
    folders, pictures, others = [], [], []
    for entry in _entries(path):
        if not is_content_name(entry.name):
            continue
        if _is_folder(entry):
            check_unicode(entry.name)
            folders.append(_read(Path(entry.path), above | {identity}))
        elif _is_special(entry) or not is_picture(Path(entry.path)):
            others.append(entry.name)
        else:
            check_unicode(entry.name)
            pictures.append(entry.name)
    return Folder(path, tuple(folders), tuple(pictures), tuple(others))


def _entries(path: Path) -> list[os.DirEntry[str]]:
    """Returns a folder's entries, sorted by name.

    Raises:
        UserError: if the folder cannot be opened.
    """
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        advice = "Make it readable, or remove it."
        raise PathError(path, f" cannot be opened ({error.strerror}). {advice}") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Returns whether an entry is a device, a pipe or a socket, which must not be opened."""
    try:
        mode = entry.stat().st_mode
    except OSError:
        return False  # a link to nothing: reported when it is opened
    return not stat.S_ISREG(mode)
