"""The cache of unpacked archives: bounded, the oldest are removed first, never one in use.

Beside an unpacked folder are two small files: `.used`, whose time is that of the last use and
whose lock says that it is in use, and `.json` with the archive's path and the unpacked size.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mocoop.errors import UserError
from mocoop.storage.atomic import name_of_temporary, write_json
from mocoop.storage.cache_folder import default_cache
from mocoop.storage.typed_json import decode

MOST_GB = 50.0  # MOCOOP_UNPACKED_GB sets another number
_REMOVED = ".removed-"  # what folders are called while they are deleted
_SIDES = (".used", ".json", ".lock")
_DAY = 24 * 3600

if sys.platform != "win32":
    import fcntl


def unpacked_root() -> Path:
    """Returns the folder of all unpacked archives."""
    return default_cache() / "archives"


class InUse:
    """Says that an unpacked folder is in use, as long as this object exists.

    The mark is a shared lock, which the system releases when the process ends for any reason.

    Args:
        folder: the unpacked folder; it need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = _locked(folder, exclusive=False)
        with suppress(OSError):  # of another user, or a read-only cache
            os.utime(_beside(folder, ".used"))

    def forget(self) -> None:
        """Removes the mark of a folder that could not be made."""
        if self._file is not None:
            self._file.close()
        with _if_free(self.folder) as free:
            if free and not self.folder.exists():
                _remove_sides(self.folder)

    def __reduce__(self) -> tuple[type[InUse], tuple[Path]]:
        """Returns how a copy in another process is made: it has a lock of its own."""
        return InUse, (self.folder,)


@dataclass(frozen=True)
class UnpackedArchive:
    """An archive that was unpacked into the cache."""

    folder: Path
    archive: str
    """Path of the archive; empty if it is not known."""
    size: int
    """Bytes of all files."""
    used: float
    """When it was last opened, in seconds since 1970."""
    in_use: bool


def describe(folder: Path, archive: Path) -> None:
    """Writes the path of an archive and its unpacked size beside the unpacked folder."""
    values = {"archive": str(archive.absolute()), "size": _size(folder)}
    write_json(_beside(folder, ".json"), values)


def unpacked_archives(root: Path | None = None) -> list[UnpackedArchive]:
    """Returns the unpacked archives, those that were used longest ago first.

    Args:
        root: folder of unpacked archives; `unpacked_root()` if None.
    """
    found = []
    for folder in _folders(root or unpacked_root()):
        if folder.name.startswith("."):
            continue
        archive, size = _described(folder)
        with suppress(OSError):  # another process may remove it
            mark = _beside(folder, ".used")
            used = (mark if mark.exists() else folder).stat().st_mtime
            with _if_free(folder) as free:
                found.append(UnpackedArchive(folder, archive, size, used, not free))
    return sorted(found, key=lambda one: one.used)


def clear(root: Path | None = None) -> list[UnpackedArchive]:
    """Removes all unpacked archives that are not in use, and returns them.

    What was left by extractions and removals that were cut off is removed too.
    """
    _remove_leftovers(root or unpacked_root())
    return [one for one in unpacked_archives(root) if _remove(one.folder)]


def make_room(root: Path, limit: float, new: Path) -> list[UnpackedArchive]:
    """Removes unpacked archives, the oldest first, until all together fit; returns them.

    Earlier contents of the new archive are removed whatever their size. None is removed that is
    in use, so that more than the limit can stay.

    Args:
        root: folder of unpacked archives.
        limit: bytes that all may have together.
        new: the archive that was just unpacked.
    """
    _remove_leftovers(root)
    archives = unpacked_archives(root)
    total = sum(one.size for one in archives)
    removed = []
    for one in archives:
        outdated = one.archive == str(new.absolute())
        if (outdated or total > limit) and not one.in_use and _remove(one.folder):
            total -= one.size
            removed.append(one)
    return removed


def most_bytes() -> float:
    """Returns how large all unpacked archives may be together: MOCOOP_UNPACKED_GB, or 50 GB.

    Raises:
        UserError: if MOCOOP_UNPACKED_GB is not a number of 0 or more.
    """
    given = os.environ.get("MOCOOP_UNPACKED_GB")
    try:
        number = float(given) if given else MOST_GB
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise UserError(f"MOCOOP_UNPACKED_GB is {given!r}: expected a number of GB, such as 50.")
    return number * 10**9


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(folder.name + suffix)


def _folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _described(folder: Path) -> tuple[str, int]:
    """Returns the path of the archive of an unpacked folder, and the size of its files."""
    try:
        values = decode(_beside(folder, ".json").read_bytes(), dict[str, Any])
        return str(values["archive"]), int(values["size"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", _size(folder)


def _size(folder: Path) -> int:
    """Returns how many bytes all files in a folder have."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size
    return total


def _remove(folder: Path) -> bool:
    """Removes an unpacked folder unless it is in use; returns whether it was removed."""
    with _if_free(folder) as free:
        if not free:
            return False
        try:
            trash = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_REMOVED))
            os.rename(folder, trash / "content")
        except OSError:
            return False  # of another user, or removed by another process
        _remove_sides(folder)
    shutil.rmtree(trash, ignore_errors=True)
    return True


def _remove_leftovers(root: Path) -> None:
    """Removes what extractions and removals that were cut off have left."""
    for folder in _folders(root):
        if folder.name.startswith(_REMOVED):
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.name.startswith("."):  # in which NAME is extracted
            # Earlier versions called it .NAME.RANDOM.
            older = folder.name[1:].rpartition(".")[0]
            target = folder.with_name(name_of_temporary(folder.name) or older)
            with _if_free(target) as free:
                if free:
                    shutil.rmtree(folder, ignore_errors=True)
                    if not target.exists():
                        _remove_sides(target)


def _remove_sides(folder: Path) -> None:
    for suffix in _SIDES:
        _beside(folder, suffix).unlink(missing_ok=True)


@contextmanager
def _if_free(folder: Path) -> Iterator[bool]:
    """Yields whether nobody uses an unpacked folder; nobody can while the block runs."""
    file = _locked(folder, exclusive=True)
    try:
        yield file is not None
    finally:
        if file is not None:
            file.close()


def _locked(folder: Path, exclusive: bool) -> IO[bytes] | None:
    """Returns the locked mark of an unpacked folder; None if that is not possible.

    A shared lock waits for an exclusive one, which is held for a moment; an exclusive lock does
    not wait.
    """
    mark = _beside(folder, ".used")
    while True:
        try:
            file = _opened(mark)
        except OSError:
            return None
        try:
            if not _lock(file, exclusive):
                file.close()
                return None
            # Whoever removes the folder removes its mark too: then the lock is worth nothing.
            if os.path.samestat(os.fstat(file.fileno()), os.stat(mark)):
                return file
        except FileNotFoundError:
            pass
        except OSError:  # a file system without such locks
            file.close()
            return None
        file.close()


def _opened(mark: Path) -> IO[bytes]:
    try:
        return mark.open("ab")
    except PermissionError:
        return mark.open("rb")


def _lock(file: IO[bytes], exclusive: bool) -> bool:
    """Locks an open file; returns whether that was possible."""
    if sys.platform == "win32":  # no such locks: what was used within a day counts as in use
        return not exclusive or time.time() - os.fstat(file.fileno()).st_mtime > _DAY
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH)
    except BlockingIOError:
        return False
    return True
