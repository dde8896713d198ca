"""Which files of a data set's folder are not among its images, and why."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from mocoop.datasets.base import Item
from mocoop.datasets.edits import OWN_FILES
from mocoop.datasets.tree import Folder
from mocoop.storage.archives import is_content_name
from mocoop.storage.picture_kinds import NO_PICTURE, is_picture

NOT_USED = "not in the layout or the list"
_NAMED = 3  # files that a remark names of each kind
Aside = Mapping[str, tuple[str, ...]]  # reason → paths, sorted


def left_in_tree(
    top: Folder,
    root: Path,
    splits: Mapping[str, Iterable[Item]],
    lists: Iterable[str] = (),
    skipped: Iterable[str] = (),
) -> Aside:
    """Returns the files in a folder that no split has.

    Args:
        top: the folder, with everything below it.
        root: folder that the items' paths are relative to.
        splits: the items of all splits.
        lists: names of files that are lists themselves.
        skipped: paths of images that the user left out, which a remark of their own counts.
    """
    used, known = _Used(root, splits, skipped), {*OWN_FILES, *lists}
    unread: list[str] = []
    unused: list[str] = []
    for folder in top.walk():
        inside = folder.path.relative_to(top.path).as_posix()
        before = "" if inside == "." else f"{inside}/"
        whole = os.path.abspath(folder.path)
        unused += [before + n for n in folder.pictures if os.path.join(whole, n) not in used]
        unread += [
            before + n
            for n in folder.others
            if os.path.join(whole, n) not in used and n not in known
        ]
    return _aside(unread, unused)


def left_beside(root: Path, splits: Mapping[str, Iterable[Item]], lists: Iterable[str]) -> Aside:
    """Returns the files beside the images of a list that the list does not name.

    Only the folders of listed images are looked at: a list may lie among unrelated files.

    Args:
        root: folder that the items' paths are relative to.
        splits: the items of all splits.
        lists: names of files that are lists themselves.
    """
    used, known = _Used(root, splits), {*OWN_FILES, *lists}
    unread: list[str] = []
    unused: list[str] = []
    for folder in sorted(used.folders):
        if not os.path.isdir(folder):
            continue
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = os.path.join(folder, entry.name)
                listed = path in used or entry.name in known
                if listed or not is_content_name(entry.name) or not entry.is_file():
                    continue
                shown = os.path.relpath(path, root).replace(os.sep, "/")
                (unused if is_picture(Path(path)) else unread).append(shown)
    return _aside(unread, unused)


def in_words(aside: Aside) -> tuple[str, ...]:
    """Returns a sentence for each reason: how many files were left aside, and which first."""
    sentences = []
    for reason, files in aside.items():
        named = ", ".join(_shown(file) for file in files[:_NAMED])
        more = f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else ""
        number = "1 file was" if len(files) == 1 else f"{len(files):,} files were"
        sentences.append(f"{number} left aside ({reason}): {named}{more}")
    return tuple(sentences)


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class _Used:
    """The whole paths of all items: one number for each, since there may be millions."""

    def __init__(
        self, root: Path, splits: Mapping[str, Iterable[Item]], more: Iterable[str] = ()
    ) -> None:
        self._start = os.path.abspath(root)
        self.folders = set()
        """The folders of the items."""
        hashes = array("q", (hash(self._whole(path)) for path in more))
        for part in splits.values():
            for item in part:
                path = self._whole(item.id)
                hashes.append(hash(path))
                self.folders.add(path.rpartition(os.sep)[0] or os.sep)
        self._hashes = np.sort(np.frombuffer(hashes, np.int64))

    def __contains__(self, path: str) -> bool:
        """Returns whether a path is that of an item; two paths hardly ever have one number."""
        number = hash(path)
        place = int(np.searchsorted(self._hashes, number))
        return place < len(self._hashes) and int(self._hashes[place]) == number

    def _whole(self, path: str) -> str:
        if os.sep == "/" and path[:1] not in ("/", "."):  # the usual case, and quick
            return f"{self._start.rstrip('/')}/{path}"
        return os.path.normpath(os.path.join(self._start, path))


def _aside(unread: list[str], unused: list[str]) -> Aside:
    found = {NO_PICTURE: tuple(map(_shown, unread)), NOT_USED: tuple(map(_shown, unused))}
    return {reason: files for reason, files in found.items() if files}
