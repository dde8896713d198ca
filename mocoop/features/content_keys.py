"""What every picture's content is, remembered: files that did not change are not read again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mocoop.datasets.base import Dataset, Item
from mocoop.storage.shards import Shards, short_key

# A file that was written this shortly before it was read could change again within the same
# tick of the file system's clock, and would then look unchanged.
_SETTLED_SECONDS = 2.0


class ContentKeys:
    """Content keys of items, with those of files kept on disk.

    Args:
        folder: where they are kept.
        keep: write new ones to disk.
    """

    def __init__(self, folder: Path, keep: bool = True) -> None:
        self._shards = Shards(folder)
        self._keep = keep

    def of(self, dataset: Dataset, items: Sequence[Item]) -> tuple[dict[int, str], dict[int, str]]:
        """Returns place in `items` → content key, and place → why its file cannot be read.

        Raises:
            UserError: if new keys cannot be written.
        """
        started = time.time()
        unreadable: dict[int, str] = {}
        contents: dict[int, str] = {}
        files: dict[int, bytes] = {}  # place → key of the file's stamp
        settled: set[int] = set()
        for place, item in enumerate(items):
            try:
                stamp = dataset.stamp(item)
            except OSError as error:
                unreadable[place] = f"{item.id}: {error.strerror or error}"
                continue
            if stamp is None:
                contents[place] = dataset.content_key(item)
                continue
            files[place] = short_key(stamp.text)
            if started - stamp.changed > _SETTLED_SECONDS:
                settled.add(place)
        places = list(files)
        known, rows = self._shards.find(list(files.values()))
        if rows is not None:
            for index, row in zip(known, rows.numpy(), strict=True):
                contents[places[index]] = row.tobytes().hex()
        new: dict[bytes, Tensor] = {}
        for place in places:
            if place in contents:
                continue
            try:
                contents[place] = dataset.content_key(items[place])
            except OSError as error:
                unreadable[place] = f"{items[place].id}: {error.strerror or error}"
                continue
            if place in settled:
                digest = bytearray.fromhex(contents[place])
                new[files[place]] = torch.frombuffer(digest, dtype=torch.uint8)
        if new and self._keep:
            self._shards.add(list(new), torch.stack(list(new.values())))
        return contents, unreadable
