"""A cache of image features on disk, keyed by content: computed once, shared by all runs.

The folder's name depends on the CLIP's weights, transform and number format; a row's key depends
on the image's content and the view. New features are written every few thousand images, so an
interrupted extraction continues where it stopped. Several processes may compute at once.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.clip.backbone import Backbone
from mocoop.datasets.base import Dataset, Item
from mocoop.datasets.in_memory import GivenFeatures
from mocoop.errors import UserError
from mocoop.features.content_keys import ContentKeys
from mocoop.features.decoding import batches
from mocoop.features.encode import ImageEncoder, random_views, view_of
from mocoop.storage.cache_folder import default_cache
from mocoop.storage.shards import Shards, short_key

Progress = Callable[[int, int], None]  # done, total
Wanted: TypeAlias = tuple[int, int, bytes]  # index of an item, view, key of the feature
# New features are written when there are this many, or after this time: an interrupted
# extraction loses no more than that.
SHARD_ROWS = 2048
SHARD_SECONDS = 30.0
NAMED = 3  # how many unreadable images a message names
WHERE_TO_LEAVE_OUT = "on the page Data under Check"


class UnreadableImagesError(UserError):
    """Some images cannot be read; `reasons` names each of them and says why."""

    def __init__(self, message: str, reasons: Sequence[str]) -> None:
        super().__init__(message)
        self.reasons = tuple(reasons)


class FeatureCache:
    """Image features of one backbone.

    Args:
        backbone: the frozen CLIP that computes missing features.
        folder: the cache folder, shared by all backbones; `default_cache()` if None.
        batch_size: images per forward pass.
        keep: whether to write new features to disk; if not, this object keeps them in memory.
        precision: number format inside the image tower; each format has its own features.
        workers: processes that decode images; None to choose by the machine and the images.
        progress: called while features are computed, if `features` is called without its own.
        features: where the features are, if not in the cache folder's own `features`.
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
        features: Path | None = None,
    ) -> None:
        self.backbone = backbone
        self.keep = keep
        self.batch_size = batch_size
        self.encoder = ImageEncoder(backbone, precision)
        self.workers = workers
        self.shard_seconds = SHARD_SECONDS
        self._progress = progress
        root = folder or default_cache()
        suffix = "" if precision == torch.float32 else f"-{str(precision).split('.')[-1]}"
        self.folder = (features or root / "features") / f"{backbone.fingerprint}{suffix}"
        self._shards = Shards(self.folder)
        self._contents = content_keys(root, keep)
        self._in_memory: dict[bytes, Tensor] = {}

    def features(
        self,
        dataset: Dataset,
        items: Sequence[Item],
        views: int = 1,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Returns L2-normalised features (items, views, dim), fp32, on the CPU.

        View 0 is the centre crop. The others are random resized crops, half of them flipped;
        they depend on `seed`, the image's content and the index of the view.

        Args:
            dataset: the data set that the items belong to.
            items: the images to encode.
            views: number of views per image.
            seed: seed of the random views.
            progress: called with the numbers of features done and in total, while computing.

        Raises:
            UserError: for images that cannot be read, or a cache that is not writable. Features
                computed until then are kept.
        """
        if isinstance(dataset, GivenFeatures):
            return _given(dataset, items, views)
        contents, unreadable = self._contents.of(dataset, items)
        crop = random_views(self.backbone).key
        wanted = [
            (index, view, _row_key(content, view, seed, crop))
            for index, content in sorted(contents.items())
            for view in range(views)
        ]
        features = torch.zeros(len(items), views, self.backbone.feature_dim)
        missing = self._look_up(wanted, features)
        if missing:
            report = progress or self._progress
            first = {key: place for *place, key in reversed(missing)}  # of equal images
            once = [one for one in missing if first[one[2]] == list(one[:2])]
            unreadable |= self._compute(dataset, items, once, features, report)
            others = [one for one in missing if first[one[2]] != list(one[:2])]
            unread = [one for one in others if first[one[2]][0] in unreadable]
            if unread:  # each of them is named, too
                unreadable |= self._compute(dataset, items, unread, features, None)
            for index, view, key in others:
                features[index, view] = features[*first[key]]
        if unreadable:
            raise _unreadable_error(dataset, unreadable)
        return features

    def keys(
        self, dataset: Dataset, items: Sequence[Item]
    ) -> tuple[dict[int, bytes], dict[int, str]]:
        """Returns index in `items` → key of the plain feature, and index → why it has none."""
        contents, unreadable = self._contents.of(dataset, items)
        return {index: short_key(content) for index, content in contents.items()}, unreadable

    def missing(
        self, dataset: Dataset, items: Sequence[Item]
    ) -> tuple[dict[int, bytes], dict[int, str]]:
        """Returns the images to encode, without those that are in the cache already.

        Args:
            dataset: the data set that the items belong to.
            items: the images.

        Returns:
            Index in `items` → key, of the images whose plain feature is missing, the first one of
            each content; and index → why an image cannot be read.
        """
        keys, unreadable = self.keys(dataset, items)
        ordered = sorted(keys)
        known, _ = self._shards.find([keys[index] for index in ordered])
        there = {ordered[position] for position in known}
        first: dict[bytes, int] = {}
        for index in ordered:
            if index not in there and keys[index] not in self._in_memory:
                first.setdefault(keys[index], index)
        return {index: key for key, index in first.items()}, unreadable

    def _look_up(self, wanted: Sequence[Wanted], features: Tensor) -> list[Wanted]:
        """Copies cached features into `features` and returns the missing ones."""
        known, rows = self._shards.find([key for _, _, key in wanted])
        if rows is not None:
            indices, views, _ = zip(*(wanted[position] for position in known), strict=True)
            features[list(indices), list(views)] = rows
        on_disk, missing = set(known), []
        for position, (index, view, key) in enumerate(wanted):
            if position in on_disk:
                continue
            if key in self._in_memory:
                features[index, view] = self._in_memory[key]
            else:
                missing.append((index, view, key))
        return missing

    def _compute(
        self,
        dataset: Dataset,
        items: Sequence[Item],
        missing: Sequence[Wanted],
        features: Tensor,
        progress: Progress | None,
    ) -> dict[int, str]:
        """Computes missing features, writes them into `features` and stores them.

        Returns item index → reason, for images that cannot be read.
        """

        def load(position: int) -> Tensor:
            index, view, key = missing[position]
            return view_of(self.backbone, dataset.image(items[index]), view, key)

        on_gpu = self.backbone.device.type == "cuda"
        size, workers = self.batch_size, self.workers
        unreadable: dict[int, str] = {}
        new: dict[bytes, Tensor] = {}
        done, last_write = 0, time.monotonic()
        for batch in batches(load, len(missing), size, workers, on_gpu):
            encoded = self.encoder.batch(batch.images)
            for position, feature in zip(batch.indices, encoded, strict=True):
                index, view, key = missing[position]
                features[index, view] = new[key] = feature
            unreadable |= {missing[i][0]: reason for i, reason in batch.unreadable.items()}
            done += len(batch.indices) + len(batch.unreadable)
            overdue = time.monotonic() - last_write > self.shard_seconds
            if len(new) >= SHARD_ROWS or overdue or done == len(missing):
                self._store(new)
                new, last_write = {}, time.monotonic()
            if progress is not None:
                progress(done, len(missing))
        return unreadable

    def _store(self, new: Mapping[bytes, Tensor]) -> None:
        """Stores new features on disk, or in memory if `keep` is False."""
        if not new:
            return
        if not self.keep:
            self._in_memory |= new
            return
        self._shards.add(list(new), torch.stack(list(new.values())))


def content_keys(root: Path, keep: bool = True) -> ContentKeys:
    """Returns the content keys of images in a cache folder, which all CLIPs share."""
    return ContentKeys(root / "contents", keep)


def _row_key(content: str, view: int, seed: int, crop: str) -> bytes:
    """Returns the key of a feature; that of view 0 does not depend on the seed."""
    whole = f"{content}|view {view} of seed {seed}, {crop}"
    return short_key(content if view == 0 else whole)


def _given(dataset: GivenFeatures, items: Sequence[Item], views: int) -> Tensor:
    """Returns the features (items, 1, dim) that the data set contains, L2-normalised."""
    if views > 1:
        raise UserError(
            f"views is {views}, but random crops need pictures, and these are features. Set views "
            "to 1, or give the pictures."
        )
    return F.normalize(torch.from_numpy(dataset.features(items)), dim=-1)[:, None]


def _unreadable_error(dataset: Dataset, reasons: Mapping[int, str]) -> UserError:
    """Returns the error for images that cannot be read: how many, which, and what to do."""
    ordered = [reason.rstrip(".") for _, reason in sorted(reasons.items())]
    some = "; ".join(ordered[:NAMED])
    more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
    count = "1 image" if len(reasons) == 1 else f"{len(reasons)} images"
    return UnreadableImagesError(
        f"{count} of {dataset.name} cannot be read: {some}{more}. Fix "
        f"{'it, or leave it' if len(reasons) == 1 else 'them, or leave them'} out: in the app "
        f"{WHERE_TO_LEAVE_OUT}, or with: mocoop data check "
        f"{shlex.quote(dataset.source)} --skip.",
        ordered,
    )
