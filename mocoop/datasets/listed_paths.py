"""Paths of images as lists write them, turned into the paths of the files on disk."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

from mocoop.datasets.names import nfc
from mocoop.errors import UserError


def check_inside(file: Path, path: str) -> None:
    """Raises UserError for a path in a list that leads out of the list's folder.

    Args:
        file: the list.
        path: the path that it names.
    """
    parts = path.replace("\\", "/").split("/")
    if path[:1] in ("/", "\\") or path[1:2] == ":" or ".." in parts or "\0" in path:
        raise UserError(
            f"{file} names {path[:200]!r}, which is not in its folder. Expected paths of images "
            "inside of it."
        )


class ListedPaths:
    r"""Turns the paths in a list into paths that can be opened, relative to a folder.

    `./img/x.jpg`, `img//x.jpg` and, on Windows, `img\x.jpg` are the file `img/x.jpg`. Accents may
    be stored in another way on disk than in the list.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._names: dict[str, dict[str, str]] = {}  # folder → name in NFC → name on disk

    def of(self, path: str) -> str:
        """Returns the path of the file that a path in the list means, whether it exists or not."""
        text = path
        if "\\" in text and not self._exists(text):
            text = text.replace("\\", "/")
        text = posixpath.normpath(text) if text else text
        if text.isascii() or self._exists(text):
            return text
        return self._on_disk(text)

    def _exists(self, path: str) -> bool:
        return os.path.exists(os.path.join(self._folder, path))

    def _on_disk(self, path: str) -> str:
        """Returns the path with every name as it is on disk, if one looks the same."""
        found: list[str] = []
        for name in path.split("/"):
            folder = posixpath.join(self._folder, *found)
            if folder not in self._names:
                names = os.listdir(folder) if os.path.isdir(folder) else []
                self._names[folder] = {nfc(known): known for known in names}
            found.append(self._names[folder].get(nfc(name), name))
        return "/".join(found)
