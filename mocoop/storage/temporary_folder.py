"""A temporary folder that is removed with its object, and a folder's files as bytes."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from mocoop.storage.atomic import lock_file, remove_of_killed, temporary_prefix

_NAME = "mocoop"
_TRIES = 100  # to make a folder in one that others remove when they are done


class TemporaryFolder:
    """A new empty folder; it and its lock file are removed when this object is deleted.

    What killed processes have left is removed by the next such folder.
    """

    def __init__(self) -> None:
        remove_of_killed(Path(tempfile.gettempdir()), _NAME)
        self.path = Path(tempfile.mkdtemp(prefix=temporary_prefix(_NAME)))
        self._remove = weakref.finalize(self, _remove, self.path, os.getpid())

    def close(self) -> None:
        """Removes the folder now."""
        self._remove()


def _remove(path: Path, owner: int) -> None:
    """Removes a folder, but only in the process that created it, not in forked ones."""
    if os.getpid() == owner:
        lock_file(path).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def folder_in(parent: Path) -> Iterator[Path]:
    """Yields a temporary folder in `parent`; both are removed after it, the parent if it is empty.

    Several processes may use one parent: each makes it again if another has just removed it. What
    killed processes left there is removed.

    Raises:
        OSError: if the folder cannot be made.
    """
    folder = _made_in(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another process still uses it
            parent.rmdir()


def _made_in(parent: Path) -> Path:
    for _ in range(_TRIES - 1):
        parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process has removed the parent just now
            remove_of_killed(parent)
            return Path(tempfile.mkdtemp(dir=parent, prefix=temporary_prefix("")))
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=parent, prefix=temporary_prefix("")))


def read_folder(folder: Path) -> dict[str, bytes]:
    """Returns relative path → content of all files below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes the files that `read_folder` returned into a folder."""
    for name, contents in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)


def holds_files(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Returns whether a folder has the files that `read_folder` returned; it may have others."""
    try:
        return bool(files) and all(
            (folder / name).read_bytes() == contents for name, contents in files.items()
        )
    except OSError:
        return False
