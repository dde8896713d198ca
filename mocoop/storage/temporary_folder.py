"""A folder that goes with the object that holds it, and a folder's files as bytes."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path

from mocoop.storage.atomic import lock_file


class TemporaryFolder:
    """A new empty folder, removed with its lock when the last reference to this is gone."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="mocoop-"))
        weakref.finalize(self, _remove, self.path, os.getpid())


def _remove(path: Path, owner: int) -> None:
    """Removes a folder, but not in a process that was forked from the one that made it."""
    if os.getpid() == owner:
        lock_file(path).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)


def read_folder(folder: Path) -> dict[str, bytes]:
    """Returns relative path → contents of all files below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes the files that `read_folder` read below a folder."""
    for name, contents in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
