"""Pictures from files to transformed batches, decoded in worker processes ahead of their use."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from mocoop.errors import UserError

FEW = 256  # pictures for which starting worker processes does not pay
MOST_WORKERS = 16


@dataclass(frozen=True)
class Batch:
    """Some pictures, and those of their neighbours that could not be read."""

    places: list[int]
    """Which pictures these are."""
    images: Tensor  # (pictures, 3, height, width)
    unreadable: dict[int, str]
    """Place of a picture that cannot be read → why."""

    def pin_memory(self) -> Batch:
        """Returns the same batch in memory from which copies to a GPU need not be waited for."""
        return replace(self, images=self.images.pin_memory())


class _Failed(NamedTuple):
    reason: str


class _Pictures(TorchDataset):
    """Transformed pictures by place; a picture that cannot be read is told, not raised."""

    def __init__(self, load: Callable[[int], Tensor], count: int) -> None:
        self._load, self._count = load, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> tuple[int, Tensor | _Failed]:
        try:
            return place, self._load(place)
        except UserError as error:
            return place, _Failed(str(error))


def batches(
    load: Callable[[int], Image.Image],
    transform: Callable[[Image.Image], Tensor],
    count: int,
    batch_size: int,
    workers: int | None = None,
    pinned: bool = False,
) -> Iterator[Batch]:
    """Yields all pictures in order, in batches, decoded and transformed ahead of their use.

    Args:
        load: returns the picture at a place, 0 to count - 1; a UserError makes it unreadable.
        transform: turns a picture into a tensor (3, height, width).
        count: how many pictures there are.
        batch_size: pictures per batch, the unreadable ones counted.
        workers: processes that decode; None for as many as serve here, 0 for none.
        pinned: give the batches memory from which copies to a GPU need not be waited for.
    """
    processes = usual_workers(count) if workers is None else workers
    loader = DataLoader(
        _Pictures(lambda place: transform(load(place)), count),
        batch_size,
        num_workers=processes,
        collate_fn=_collate,
        pin_memory=pinned,
        # Workers share what the parent has loaded and start at once.
        multiprocessing_context="fork" if processes else None,
        prefetch_factor=4 if processes else None,
    )
    yield from loader


def usual_workers(count: int) -> int:
    """Returns how many processes should decode `count` pictures here.

    None for a few pictures, on systems where forking is not safe, and outside the main thread:
    a server with many threads must not be forked.
    """
    main = threading.current_thread() is threading.main_thread()
    forks = sys.platform == "linux" and not multiprocessing.current_process().daemon
    if count < FEW or not (forks and main):
        return 0
    return max(1, min(MOST_WORKERS, len(os.sched_getaffinity(0))))


def _collate(pairs: Sequence[tuple[int, Tensor | _Failed]]) -> Batch:
    """Returns loaded pictures as a batch."""
    images = {place: part for place, part in pairs if isinstance(part, Tensor)}
    failed = {place: part.reason for place, part in pairs if isinstance(part, _Failed)}
    stacked = torch.stack(list(images.values())) if images else torch.empty(0)
    return Batch(list(images), stacked, failed)
