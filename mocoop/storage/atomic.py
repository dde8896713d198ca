"""Files that are written whole or not at all.

Torch is imported where tensors are read or written: commands check names and paths without it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from mocoop.errors import UserError

if TYPE_CHECKING:
    import torch

FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path next to `path` and renames it to `path` on success.

    A reader sees the old file or the new one, never a part; an error leaves nothing behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """Says in words that a full disk, or a folder that cannot be written to, ended something.

    Args:
        folder: of runs, or of one run: where everything is written meanwhile.

    Raises:
        UserError: for such an error; any other goes on as it is.
    """
    try:
        yield
    except OSError as error:
        elsewhere = error.filename and not Path(error.filename).is_relative_to(folder)
        if error.errno in FULL:
            advice = "Free some space"
        elif error.errno in CLOSED and not elsewhere:
            advice = "Make it writable"
        else:
            raise
        raise UserError(
            f"Nothing can be written to {folder}: {error.strerror}. {advice}, or set MOCOOP_RUNS "
            "to another folder. What was saved before is whole."
        ) from error


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Lets one process or thread at a time do something with a folder; the others wait.

    The lock lies outside of the folder, holds for one user on one machine, and goes with its
    process, whatever ends it.
    """
    with FileLock(lock_file(folder)):
        yield


def lock_file(folder: Path) -> Path:
    """Returns the file that a folder is locked by, which stays when the lock is released."""
    user = str(os.getuid()) if hasattr(os, "getuid") else ""
    key = hashlib.sha256(f"{user} {folder.resolve()}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"mocoop-{key}.lock"


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole, readable by people."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def overwrite_json(path: Path, value: Any) -> None:
    """Writes a small JSON file into the place that it has, which a full disk allows.

    A reader may see a part of it: for a last word when `write_json` has failed.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with path.open("r+b") as file:
        file.write(text.encode())
        file.truncate()


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Returns a safetensors file's tensors, in memory of their own.

    Tensors that lie in the file itself would end the whole process, without an error, when
    somebody cuts the file short while they are used.

    Raises:
        OSError: if the file cannot be read.
        SafetensorError: if its content is damaged.
    """
    from safetensors.torch import load

    return load(path.read_bytes())


def write_tensors(
    path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Writes a safetensors file whole."""
    from safetensors.torch import save

    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as temporary:
        # Its own `save_file` hides from the caller that the disk is full.
        temporary.write_bytes(save(ready, metadata=metadata))
