"""Loads images as transformed batches; worker processes decode them in advance."""

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

FEW = 256  # with fewer images, starting worker processes takes longer than it saves
MOST_WORKERS = 16


@dataclass(frozen=True)
class Batch:
    """The readable images of a batch, and the reasons why the others cannot be read."""

    indices: list[int]
    """Indices of the readable images."""
    images: Tensor  # (images, 3, height, width)
    unreadable: dict[int, str]
    """Index of an image that cannot be read → why."""

    def pin_memory(self) -> Batch:
        """Returns the batch in pinned memory, for asynchronous copies to a GPU."""
        return replace(self, images=self.images.pin_memory())


class _Failed(NamedTuple):
    """An image that cannot be read."""

    reason: str


class _Pictures(TorchDataset):
    """Transformed images by index; an image that cannot be read is returned as `_Failed`."""

    def __init__(self, load: Callable[[int], Tensor], count: int) -> None:
        self._load, self._count = load, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[int, Tensor | _Failed]:
        try:
            return index, self._load(index)
        except UserError as error:
            return index, _Failed(str(error))


def batches(
    load: Callable[[int], Image.Image],
    transform: Callable[[Image.Image], Tensor],
    count: int,
    batch_size: int,
    workers: int | None = None,
    pinned: bool = False,
) -> Iterator[Batch]:
    """Yields all images in order, in batches, decoded and transformed in advance.

    Args:
        load: returns the image at an index from 0 to count - 1. If it raises UserError, the
            image counts as unreadable.
        transform: turns an image into a tensor (3, height, width).
        count: number of images.
        batch_size: images per batch, including unreadable ones.
        workers: processes that decode; None for `usual_workers(count)`, 0 for none.
        pinned: whether to put batches in pinned memory, for asynchronous copies to a GPU.
    """
    processes = usual_workers(count) if workers is None else workers
    loader = DataLoader(
        _Pictures(lambda index: transform(load(index)), count),
        batch_size,
        num_workers=processes,
        collate_fn=_collate,
        pin_memory=pinned,
        # Forked workers start at once and share the parent's memory.
        multiprocessing_context="fork" if processes else None,
        prefetch_factor=4 if processes else None,
    )
    yield from loader


def usual_workers(count: int) -> int:
    """Returns how many processes should decode `count` images on this machine.

    This is 0 for few images, on systems where forking is not safe, and outside the main thread:
    a server with many threads must not be forked.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    can_fork = sys.platform == "linux" and not multiprocessing.current_process().daemon
    if count < FEW or not (can_fork and in_main_thread):
        return 0
    return max(1, min(MOST_WORKERS, len(os.sched_getaffinity(0))))


def _collate(pairs: Sequence[tuple[int, Tensor | _Failed]]) -> Batch:
    """Returns loaded images as a batch."""
    images = {index: loaded for index, loaded in pairs if isinstance(loaded, Tensor)}
    failed = {index: loaded.reason for index, loaded in pairs if isinstance(loaded, _Failed)}
    stacked = torch.stack(list(images.values())) if images else torch.empty(0)
    return Batch(list(images), stacked, failed)
