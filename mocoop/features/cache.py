"""Image features on disk, found again by content: computed once, shared by all runs.

A feature is keyed by weights, transform and number format (the folder) and by the picture's
content and view (the row). New features are written every few thousand images, so that an
extraction that was stopped goes on where it was; several processes may compute at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mocoop.clip.backbone import Backbone
from mocoop.datasets.base import Dataset, Item
from mocoop.datasets.in_memory import GivenFeatures
from mocoop.errors import UserError
from mocoop.features.content_keys import ContentKeys
from mocoop.features.decoding import batches
from mocoop.features.encode import VIEW_SCALE, ImageEncoder, view_of
from mocoop.storage.shards import Shards, short_key

Progress = Callable[[int, int], None]  # done, total
Wanted: TypeAlias = tuple[int, int, bytes]  # an item's place, a view, the feature's key
# New features are written when there are this many, or after this long: what a stopped
# extraction loses at most.
SHARD_ROWS = 2048
SHARD_SECONDS = 30.0
NAMED = 3  # unreadable images that a message names


def default_cache() -> Path:
    """Returns the cache folder: MOCOOP_CACHE, or ~/.cache/mocoop."""
    chosen = os.environ.get("MOCOOP_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "mocoop"


class UnreadableImagesError(UserError):
    """Some images cannot be read; `reasons` says for each of them which it is and why."""

    def __init__(self, message: str, reasons: Sequence[str]) -> None:
        super().__init__(message)
        self.reasons = tuple(reasons)


class FeatureCache:
    """Image features of one backbone.

    Args:
        backbone: the frozen CLIP that computes what is missing.
        folder: where all backbones' features lie; `default_cache()` if None.
        batch_size: images per forward pass.
        keep: write new features to disk; without, they live as long as this object.
        precision: number format inside the image tower; each has features of its own.
        workers: processes that decode pictures; None for as many as serve here.
        progress: called while features are computed, unless a call brings its own.
    """

    def __init__(
        self,
        backbone: Backbone,
        folder: Path | None = None,
        batch_size: int = 64,
        keep: bool = True,
        precision: torch.dtype = torch.float32,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.backbone = backbone
        self.keep = keep
        self.batch_size = batch_size
        self.encoder = ImageEncoder(backbone, precision)
        self.workers = workers
        self._progress = progress
        root = folder or default_cache()
        suffix = "" if precision == torch.float32 else f"-{str(precision).split('.')[-1]}"
        self.folder = root / "features" / f"{backbone.fingerprint}{suffix}"
        self._shards = Shards(self.folder)
        self._contents = ContentKeys(root / "contents", keep)
        self._unkept: dict[bytes, Tensor] = {}

    def features(
        self,
        dataset: Dataset,
        items: Sequence[Item],
        views: int = 1,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Returns L2-normalised features (items, views, dim), fp32, on the CPU.

        View 0 is the centre crop; the others are random resized crops with a mirror image
        every other time, drawn from `seed`, the picture's content and the view's number.

        Args:
            dataset: where the items' pictures come from.
            items: which pictures.
            views: how many views of each.
            seed: of the random views.
            progress: called with pictures done and to do, while computing.

        Raises:
            UserError: for pictures that cannot be read, or a cache that cannot be written to;
                what was computed until then is kept.
        """
        if isinstance(dataset, GivenFeatures):
            return _given(dataset, items, views)
        contents, unreadable = self._contents.of(dataset, items)
        wanted = [
            (place, view, _row_key(content, view, seed))
            for place, content in sorted(contents.items())
            for view in range(views)
        ]
        found = torch.zeros(len(items), views, self.backbone.text.dim)
        missing = self._look_up(wanted, found)
        if missing:
            tell = progress or self._progress
            unreadable |= self._compute(dataset, items, missing, found, tell)
        if unreadable:
            raise _cannot_be_read(dataset, unreadable)
        return found

    def _look_up(self, wanted: Sequence[Wanted], found: Tensor) -> list[Wanted]:
        """Writes the features that are known into `found`; returns what is not."""
        known, rows = self._shards.find([key for _, _, key in wanted])
        if rows is not None:
            places, views, _ = zip(*(wanted[index] for index in known), strict=True)
            found[list(places), list(views)] = rows
        on_disk, missing = set(known), []
        for index, (place, view, key) in enumerate(wanted):
            if index in on_disk:
                continue
            if key in self._unkept:
                found[place, view] = self._unkept[key]
            else:
                missing.append((place, view, key))
        return missing

    def _compute(
        self,
        dataset: Dataset,
        items: Sequence[Item],
        missing: Sequence[Wanted],
        found: Tensor,
        progress: Progress | None,
    ) -> dict[int, str]:
        """Writes missing features into `found` and to shards; returns what cannot be read."""

        def load(row: int) -> Image.Image:
            place, view, key = missing[row]
            return view_of(dataset.image(items[place]), view, key)

        on_gpu = self.backbone.device.type == "cuda"
        size, workers = self.batch_size, self.workers
        unreadable: dict[int, str] = {}
        new: dict[bytes, Tensor] = {}
        done, written = 0, time.monotonic()
        for batch in batches(load, self.backbone.transform, len(missing), size, workers, on_gpu):
            for row, feature in zip(batch.places, self.encoder.batch(batch.images), strict=True):
                place, view, key = missing[row]
                found[place, view] = new[key] = feature
            unreadable |= {missing[row][0]: why for row, why in batch.unreadable.items()}
            done += len(batch.places) + len(batch.unreadable)
            late = time.monotonic() - written > SHARD_SECONDS
            if len(new) >= SHARD_ROWS or late or done == len(missing):
                self._write(new)
                new, written = {}, time.monotonic()
            if progress is not None:
                progress(done, len(missing))
        return unreadable

    def _write(self, new: Mapping[bytes, Tensor]) -> None:
        """Keeps new features: on disk, or only here."""
        if not new:
            return
        if not self.keep:
            self._unkept |= new
            return
        self._shards.add(list(new), torch.stack(list(new.values())))


def _row_key(content: str, view: int, seed: int) -> bytes:
    whole = f"{content}|view {view} of seed {seed}, scale {VIEW_SCALE}"
    return short_key(content if view == 0 else whole)


def _given(dataset: GivenFeatures, items: Sequence[Item], views: int) -> Tensor:
    """Returns features (items, 1, dim) that are known without any picture, L2-normalised."""
    if views > 1:
        raise UserError(
            f"views is {views}, but crops are made of pictures, and these are features. Set views "
            "to 1, or give the pictures."
        )
    return F.normalize(torch.from_numpy(dataset.features(items)), dim=-1)[:, None]


def _cannot_be_read(dataset: Dataset, reasons: Mapping[int, str]) -> UserError:
    """Returns the error for images that cannot be read: how many, which, and what to do."""
    every = [reason.rstrip(".") for _, reason in sorted(reasons.items())]
    some = "; ".join(every[:NAMED])
    more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
    count = "1 image" if len(reasons) == 1 else f"{len(reasons)} images"
    return UnreadableImagesError(
        f"{count} of {dataset.name} cannot be read: {some}{more}. Mend them, or leave them out "
        f"with: mocoop data check {dataset.source} --skip.",
        every,
    )
