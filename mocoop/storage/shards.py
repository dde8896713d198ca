"""A key-value store on disk: rows of numbers in files (shards) that are never changed.

Several processes may read and write one folder at the same time. A shard's name is a hash of its
keys, so two processes that compute the same rows write the same file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mocoop.errors import UserError
from mocoop.storage.atomic import remove_of_killed, write_tensors

KEY_BYTES = 16


def short_key(text: str) -> bytes:
    """Returns the key of a text: the first bytes of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:KEY_BYTES]


class Shards:
    """The rows in a folder of shards. Keys are read once; rows are read when `find` needs them.

    Args:
        folder: the folder of the shards, which is created with the first shard.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, int] = {}  # file name of a shard → its number
        self._names: list[str] = []
        self._keys = np.empty((0, KEY_BYTES), np.uint8)
        self._positions = np.empty((0, 2), np.int64)  # shard's number and row of each key
        # The keys are searched by their first halves (heads), which are sorted.
        self._order = np.empty(0, np.int64)  # indices that sort the heads
        self._heads = np.empty(0, np.uint64)

    def find(self, keys: Sequence[bytes]) -> tuple[list[int], Tensor | None]:
        """Returns which of the keys are known, and their rows.

        Damaged shards are ignored.

        Returns:
            The indices of the known keys in `keys`, ascending, and their rows (known, width) in
            the shards' dtype; None instead of the rows if no key is known.
        """
        self._refresh()
        wanted = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)
        if not len(self._keys) or not len(wanted):
            return [], None
        heads = np.ascontiguousarray(wanted[:, :8]).view(np.uint64)[:, 0]
        nearest = np.searchsorted(self._heads, heads).clip(max=len(self._heads) - 1)
        candidates = self._order[nearest]
        known = np.flatnonzero((self._keys[candidates] == wanted).all(axis=1))
        if not len(known):
            return [], None
        rows = self._rows(self._positions[candidates[known]])
        if rows is None:  # a damaged shard was dropped: search again without it
            return self.find(keys)
        return known.tolist(), rows

    def add(self, keys: Sequence[bytes], rows: Tensor) -> None:
        """Writes rows (keys, width) as a new shard.

        Raises:
            UserError: if the disk is full or the folder is not writable; then nothing of the
                shard is left.
        """
        joined = b"".join(keys)
        table = torch.from_numpy(np.frombuffer(joined, np.uint8).reshape(-1, KEY_BYTES).copy())
        name = f"{hashlib.sha256(joined).hexdigest()[:16]}.safetensors"
        remove_of_killed(self.folder)  # the next shards may have other names
        try:
            write_tensors(self.folder / name, {"keys": table, "rows": rows})
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"Nothing can be written to the cache {self.folder}: {reason}. Free some space, "
                "or set MOCOOP_CACHE to another folder. What was written before is complete, and "
                "the next run continues from there."
            ) from error
        self._files.pop(name, None)  # one of this name was damaged or deleted: it is read anew

    def _refresh(self) -> None:
        """Reads the keys of shards that were added since the last call."""
        files = sorted(self.folder.glob("*.safetensors"))
        new = [file for file in files if file.name not in self._files]
        if not new:
            return
        keys, positions = [self._keys], [self._positions]
        for file in new:
            try:
                with safe_open(file, framework="np") as shard:
                    shard_keys = shard.get_tensor("keys")
                    count = shard.get_slice("rows").get_shape()[0]
                valid = shard_keys.ndim == 2 and shard_keys.shape == (count, KEY_BYTES)
            except (SafetensorError, OSError):
                valid = False
            self._files[file.name] = len(self._names)
            self._names.append(file.name)
            if valid:
                keys.append(shard_keys)
                number = np.full(count, self._files[file.name])
                positions.append(np.stack([number, np.arange(count)], axis=1))
        self._build_index(np.concatenate(keys), np.concatenate(positions))

    def _build_index(self, keys: np.ndarray, positions: np.ndarray) -> None:
        """Stores keys (count, 16) and their positions (count, 2), and sorts the heads."""
        heads = np.ascontiguousarray(keys[:, :8]).view(np.uint64)[:, 0]
        self._keys, self._positions = keys, positions
        self._order = np.argsort(heads, kind="stable")
        self._heads = heads[self._order]

    def _rows(self, positions: np.ndarray) -> Tensor | None:
        """Returns the rows at positions (count, 2); None after dropping a damaged shard."""
        rows: Tensor | None = None
        for number in np.unique(positions[:, 0]).tolist():
            chosen = np.flatnonzero(positions[:, 0] == number)
            try:
                with safe_open(self.folder / self._names[number], framework="pt") as shard:
                    part = shard.get_tensor("rows")[torch.from_numpy(positions[chosen, 1])]
            except (SafetensorError, OSError):
                kept = self._positions[:, 0] != number
                self._build_index(self._keys[kept], self._positions[kept])
                return None
            if rows is None:
                rows = part.new_empty(len(positions), part.shape[1])
            rows[torch.from_numpy(chosen)] = part
        return rows
