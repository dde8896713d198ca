"""Rows of numbers on disk, found again by key: written in whole shards, never changed.

Several processes may read and write one folder at the same time. A shard is named by its
keys, so that two processes that compute the same rows write the same file.
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
from mocoop.storage.atomic import write_tensors

KEY_BYTES = 16


def short_key(text: str) -> bytes:
    """Returns the key of a text: the first bytes of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:KEY_BYTES]


class Shards:
    """The rows of a folder. Keys are read once; rows only as they are asked for.

    Args:
        folder: where the shards lie; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, int] = {}  # shard's name → its rows
        self._names: list[str] = []
        self._keys = np.empty((0, KEY_BYTES), np.uint8)
        self._places = np.empty((0, 2), np.int64)  # shard's number and row of each key
        self._order = np.empty(0, np.int64)  # sorts the heads
        self._heads = np.empty(0, np.uint64)  # first half of each key, sorted

    def find(self, keys: Sequence[bytes]) -> tuple[list[int], Tensor | None]:
        """Returns which of the keys are known, and their rows.

        A damaged shard counts as absent.

        Returns:
            Places in `keys`, ascending, and as many rows (known, width) of the shards' dtype;
            None instead of the rows if no key is known.
        """
        self._refresh()
        wanted = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)
        if not len(self._keys) or not len(wanted):
            return [], None
        heads = np.ascontiguousarray(wanted[:, :8]).view(np.uint64)[:, 0]
        at = np.searchsorted(self._heads, heads).clip(max=len(self._heads) - 1)
        candidates = self._order[at]
        known = np.flatnonzero((self._keys[candidates] == wanted).all(axis=1))
        if not len(known):
            return [], None
        rows = self._rows(self._places[candidates[known]])
        if rows is None:  # a shard cannot be read and was dropped: look again without it
            return self.find(keys)
        return known.tolist(), rows

    def add(self, keys: Sequence[bytes], rows: Tensor) -> None:
        """Writes rows (keys, width) as a new shard.

        Raises:
            UserError: if the disk is full or the folder cannot be written to; nothing of the
                shard is left then.
        """
        joined = b"".join(keys)
        table = torch.from_numpy(np.frombuffer(joined, np.uint8).reshape(-1, KEY_BYTES).copy())
        name = hashlib.sha256(joined).hexdigest()[:16]
        try:
            write_tensors(self.folder / f"{name}.safetensors", {"keys": table, "rows": rows})
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"Nothing can be kept in the cache {self.folder}: {reason}. Free some space, or "
                "set MOCOOP_CACHE to another folder. What was kept before is whole, and the next "
                "try goes on from there."
            ) from error

    def _refresh(self) -> None:
        """Reads the keys of shards that are new since the last time."""
        files = sorted(self.folder.glob("*.safetensors"))
        new = [file for file in files if file.name not in self._files]
        if not new:
            return
        keys, places = [self._keys], [self._places]
        for file in new:
            try:
                with safe_open(file, framework="np") as shard:
                    found = shard.get_tensor("keys")
                    count = shard.get_slice("rows").get_shape()[0]
                fits = found.ndim == 2 and found.shape == (count, KEY_BYTES)
            except (SafetensorError, OSError):
                fits = False
            self._files[file.name] = len(self._names)
            self._names.append(file.name)
            if fits:
                keys.append(found)
                number = np.full(count, self._files[file.name])
                places.append(np.stack([number, np.arange(count)], axis=1))
        self._index(np.concatenate(keys), np.concatenate(places))

    def _index(self, keys: np.ndarray, places: np.ndarray) -> None:
        """Makes keys (count, 16) and their places (count, 2) ready to be looked up."""
        heads = np.ascontiguousarray(keys[:, :8]).view(np.uint64)[:, 0]
        self._keys, self._places = keys, places
        self._order = np.argsort(heads, kind="stable")
        self._heads = heads[self._order]

    def _rows(self, places: np.ndarray) -> Tensor | None:
        """Returns the rows at places (count, 2); None after dropping a shard that is damaged."""
        rows: Tensor | None = None
        for number in np.unique(places[:, 0]).tolist():
            chosen = np.flatnonzero(places[:, 0] == number)
            try:
                with safe_open(self.folder / self._names[number], framework="pt") as shard:
                    found = shard.get_tensor("rows")[torch.from_numpy(places[chosen, 1])]
            except (SafetensorError, OSError):
                kept = self._places[:, 0] != number
                self._index(self._keys[kept], self._places[kept])
                return None
            if rows is None:
                rows = found.new_empty(len(places), found.shape[1])
            rows[torch.from_numpy(chosen)] = found
        return rows
