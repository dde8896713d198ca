"""A cache of content keys on disk: files that did not change are not read again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mocoop.datasets.base import Dataset, Item
from mocoop.storage.shards import Shards, short_key

# A file that was changed less than this before it was read is not cached: it could change again
# within the resolution of the file system's clock, and its stamp would stay the same.
_SETTLED_SECONDS = 2.0


class ContentKeys:
    """Content keys of items; those of files are cached on disk.

    Args:
        folder: the cache folder.
        keep: whether to write new keys to disk.
    """

    def __init__(self, folder: Path, keep: bool = True) -> None:
        self._shards = Shards(folder)
        self._keep = keep

    def of(self, dataset: Dataset, items: Sequence[Item]) -> tuple[dict[int, str], dict[int, str]]:
        """Returns index in `items` → content key, and index → why its file cannot be read.

        Raises:
            UserError: if new keys cannot be written to disk.
        """
        started = time.time()
        unreadable: dict[int, str] = {}
        contents: dict[int, str] = {}
        files: dict[int, bytes] = {}  # index → key of the file's stamp
        settled: set[int] = set()  # indices of files that have not changed recently
        for index, item in enumerate(items):
            try:
                stamp = dataset.stamp(item)
            except OSError as error:
                unreadable[index] = f"{item.id}: {error.strerror or error}"
                continue
            if stamp is None:
                contents[index] = dataset.content_key(item)
                continue
            files[index] = short_key(stamp.text)
            if started - stamp.changed > _SETTLED_SECONDS:
                settled.add(index)
        indices = list(files)
        known, rows = self._shards.find(list(files.values()))
        if rows is not None:
            for position, row in zip(known, rows.numpy(), strict=True):
                contents[indices[position]] = row.tobytes().hex()
        new: dict[bytes, Tensor] = {}
        for index in indices:
            if index in contents:
                continue
            try:
                contents[index] = dataset.content_key(items[index])
            except OSError as error:
                unreadable[index] = f"{items[index].id}: {error.strerror or error}"
                continue
            if index in settled:
                digest = bytearray.fromhex(contents[index])
                new[files[index]] = torch.frombuffer(digest, dtype=torch.uint8)
        if new and self._keep:
            self._shards.add(list(new), torch.stack(list(new.values())))
        return contents, unreadable
