"""Writes files atomically: a file is complete, or it is not there at all.

Only the functions for tensors import torch, because commands check names and paths without it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from filelock import FileLock, Timeout

from mocoop.errors import UserError
from mocoop.storage.streams import is_stream, send

if TYPE_CHECKING:
    import torch

_OURS = re.compile(
    r"\.(?P<name>.*?)(?:\.(?P<machine>[0-9a-f]{8}))?\.(?P<pid>[0-9]{1,9})-[a-z0-9_]{8}"
)
_MOST_BYTES = 220  # of a name of which the name of a temporary file is made
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path next to `path` and renames it to `path` on success.

    Readers see the old file or the new one, never a part. After an error, nothing new is left;
    what a killed process left of the same file is removed. Of a link, the file that it leads to
    is replaced. What is no file on a disk, such as a pipe or /dev/stdout, is written into.

    Raises:
        UserError: for a socket or a disk.
    """
    if is_stream(path):
        with tempfile.TemporaryDirectory(prefix=temporary_prefix("mocoop")) as folder:
            yield Path(folder) / "content"
            send(Path(folder) / "content", path)
        return
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_of_killed(path.parent, path.name)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=temporary_prefix(path.name))
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_prefix(name: str) -> str:
    """Returns how a temporary file or folder of this process begins, for a file called `name`."""
    return f".{_shortened(name)}.{_machine()}.{os.getpid()}-"


def _shortened(name: str) -> str:
    """Returns a name that leaves room for the rest: file systems allow 255 bytes for all of it."""
    written = os.fsencode(name)
    if len(written) <= _MOST_BYTES:
        return name
    return f"{name[:40]}~{hashlib.sha256(written).hexdigest()[:16]}"


def name_of_temporary(name: str) -> str | None:
    """Returns the name of the file that a temporary file is for; None if it is none of ours."""
    match = _OURS.fullmatch(name)
    return match["name"] if match else None


def _machine() -> str:
    """Returns what marks this machine: a folder may be shared, and its process ids are not."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def remove_of_killed(folder: Path, name: str = "") -> None:
    """Removes temporary files and folders that killed processes of this machine left behind.

    Args:
        folder: where they are.
        name: only those for the file of this name; all by default.
    """
    try:
        with os.scandir(folder) as entries:
            found = [
                (entry.path, match) for entry in entries if (match := _OURS.fullmatch(entry.name))
            ]
    except OSError:
        return
    for path, match in found:
        here = match["machine"] in (None, _machine())
        if (
            here
            and _shortened(name) in ("", match["name"])
            and not psutil.pid_exists(int(match["pid"]))
        ):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):  # of another user, or removed by another process
                    os.unlink(path)


@contextmanager
def explain_write_errors(folder: Path, variable: str = "MOCOOP_RUNS") -> Iterator[None]:
    """Raises UserError with an explanation if the disk is full or the folder is not writable.

    Args:
        folder: the folder of runs or of one run, into which the code inside the block writes.
        variable: the environment variable that chooses another folder.

    Raises:
        UserError: for these errors, and for a file in the folder's place; other errors are not
            changed.
    """
    try:
        yield
    except OSError as error:
        path = Path(error.filename or folder)
        elsewhere = not path.is_relative_to(folder) and not folder.is_relative_to(path)
        if error.errno in DISK_FULL:
            advice = "Free some space"
        elif error.errno in NOT_WRITABLE and not elsewhere:
            advice = "Make it writable"
        elif error.errno in (errno.ENOTDIR, errno.EEXIST) and not folder.is_dir():
            advice = "Remove the file in its place"
        else:
            raise
        raise UserError(
            f"Nothing can be written to {folder}: {error.strerror}. {advice}, or set {variable} "
            "to another folder. Files that were saved before are complete."
        ) from error


def why_not_written(error: OSError) -> str:
    """Returns a sentence for a full disk, or a file that cannot be written or read."""
    path = Path(error.filename) if isinstance(error.filename, str) else None
    where = "" if path is None else str(path.parent if path.name.startswith(".") else path)
    if error.errno in DISK_FULL:
        of = f" of {where}" if where else ""
        return (
            f"the disk{of} is full: free some space, or choose another place. Files that were "
            "saved before are complete."
        )
    advice = "check its permissions" if error.errno in NOT_WRITABLE else "check the path"
    return (
        f"{_without_middle(where) or 'a file'} cannot be used ({error.strerror}): {advice}, or "
        "choose another place."
    )


def _without_middle(path: str, most: int = 200) -> str:
    """Returns a path; one that is too long without its middle."""
    return path if len(path) <= most else f"{path[: most // 2]}...{path[-most // 2 :]}"


@contextmanager
def exclusive_lock(folder: Path, taken: str | None = None) -> Iterator[None]:
    """Holds a lock for a folder; other processes and threads wait until it is released.

    The lock file is outside the folder. The lock works for one user on one machine, and it is
    released when its process ends for any reason.

    Args:
        folder: the folder, which need not exist.
        taken: the message of the error if somebody else has the lock; None to wait for it.

    Raises:
        UserError: with `taken` as its message.
    """
    lock = FileLock(lock_file(folder), timeout=-1 if taken is None else 0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(str(taken)) from error
    try:
        yield
    finally:
        lock.release()


def lock_file(folder: Path) -> Path:
    """Returns the path of a folder's lock file, which stays after the lock is released."""
    user = str(os.getuid()) if hasattr(os, "getuid") else ""
    key = hashlib.sha256(f"{user} {folder.resolve()}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"mocoop-{key}.lock"


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes an indented JSON file atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def overwrite_json(path: Path, value: Any) -> None:
    """Overwrites a small JSON file in place, which is possible even on a full disk.

    This is not atomic: readers may see a part of it. It is for when `write_json` has failed.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with path.open("r+b") as file:
        file.write(text.encode())
        file.truncate()


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Returns the tensors of a safetensors file as copies in memory.

    Memory-mapped tensors would crash the whole process if the file were truncated while they
    are in use.

    Raises:
        OSError: if the file cannot be read.
        SafetensorError: if the file is damaged.
    """
    from safetensors.torch import load

    return load(path.read_bytes())


def write_tensors(
    path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Writes a safetensors file atomically."""
    from safetensors.torch import save

    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as temporary:
        # Not `save_file` of safetensors: its errors do not say that the disk is full.
        temporary.write_bytes(save(ready, metadata=metadata))
