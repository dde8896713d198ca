"""Files that are written whole or not at all.

Torch is imported where tensors are read or written: commands check names and paths without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

if TYPE_CHECKING:
    import torch


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
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
def alone(folder: Path) -> Iterator[None]:
    """Lets one process or thread at a time do something with a folder; the others wait.

    The lock lies outside of the folder, holds for one user on one machine, and goes with its
    process, whatever ends it.
    """
    user = str(os.getuid()) if hasattr(os, "getuid") else ""
    key = hashlib.sha256(f"{user} {folder.resolve()}".encode()).hexdigest()[:16]
    with FileLock(Path(tempfile.gettempdir()) / f"mocoop-{key}.lock"):
        yield


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole, readable by people."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


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
    from safetensors.torch import save_file

    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        save_file(ready, temporary, metadata=metadata)
