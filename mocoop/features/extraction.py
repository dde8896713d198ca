"""Encodes all images of a data set, here or on a cluster: the same features, each once.

On a cluster a job is a part of the images that are not in the cache yet, always in the same
batches as here. A part's features are one shard, which is written whole or not at all and named by
its content: a worker that dies leaves nothing, and a part that is done twice is one file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

from mocoop.clip.backbone import choose_device, load_backbone
from mocoop.clip.device import tower_dtype
from mocoop.config import Precision
from mocoop.datasets import load_dataset
from mocoop.datasets.base import Dataset, Item
from mocoop.datasets.in_memory import GivenFeatures
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache, Progress, UnreadableImagesError, content_keys
from mocoop.storage.cache_folder import default_cache
from mocoop.storage.engines import Engine

PART = 1024  # images of a job: what a worker that dies loses. A multiple of the batch size.
FOREVER = float("inf")


@dataclass(frozen=True)
class Request:
    """What is encoded, and by what."""

    data: str
    backbone: str = "demo"
    root: Path | None = None
    """Folder of the benchmark sets; MOCOOP_DATA or ./data if None."""
    device: str = "auto"
    precision: Precision = "auto"
    decoders: int | None = None
    """Processes that decode images for each worker; None to choose by the machine."""
    cache: Path | None = None
    """The cache's folder; MOCOOP_CACHE if None."""

    def dataset(self) -> Dataset:
        """Returns the data set.

        Raises:
            UserError: if there is none, or it holds features already.
        """
        dataset = load_dataset(self.data, self.root)
        if isinstance(dataset, GivenFeatures):
            raise UserError(f"{dataset.name} has features already: there is nothing to encode.")
        return dataset

    def features(self, progress: Progress | None = None, whole: bool = False) -> FeatureCache:
        """Returns the cache with its CLIP; with `whole` a call's features are one shard."""
        device = choose_device(self.device)
        found = FeatureCache(
            load_backbone(self.backbone, device),
            self.cache,
            precision=tower_dtype(self.precision, device),
            workers=self.decoders,
            progress=progress,
        )
        if whole:
            found.shard_seconds = FOREVER
        return found


@dataclass(frozen=True)
class Extracted:
    """What an extraction did."""

    images: int
    new: int
    """Images that were encoded; the others were in the cache."""
    unreadable: tuple[str, ...]
    """Each image that cannot be read, with the reason."""


def all_items(dataset: Dataset) -> list[Item]:
    """Returns the images of all splits, each once."""
    return list({item.id: item for part in dataset.splits.values() for item in part}.values())


def extract(
    request: Request,
    engine: Engine | None = None,
    progress: Progress | None = None,
    part: int = PART,
) -> Extracted:
    """Encodes all images of a data set that are not in the cache yet.

    Args:
        request: the data and the CLIP.
        engine: where it runs; this process, with processes that decode, if None.
        progress: called with the numbers of images done and to do.
        part: images of a job on a cluster.

    Raises:
        UserError: for data or a CLIP that do not exist, a cache that cannot be written, or, after
            the others are done, parts that could not be encoded.
    """
    dataset = request.dataset()
    items = all_items(dataset)
    if engine is None or engine.name == "local":
        cache = request.features(progress)
        todo = len(cache.missing(dataset, items)[0])
        reasons: tuple[str, ...] = ()
        try:
            cache.features(dataset, items)
        except UnreadableImagesError as error:
            reasons = error.reasons
        return Extracted(len(items), todo - len(cache.missing(dataset, items)[0]), reasons)
    with engine.open():
        return _on_cluster(request, dataset, items, engine, progress, part)


def _on_cluster(
    request: Request,
    dataset: Dataset,
    items: Sequence[Item],
    engine: Engine,
    progress: Progress | None,
    part: int,
) -> Extracted:
    """Encodes images on a cluster; returns what was done."""
    cache = request.features()
    # The keys first, of which the images to encode follow: workers read the files.
    ranges = [(start, min(start + part, len(items))) for start in range(0, len(items), part)]
    if _in_files(dataset, items[0]):
        for _ in engine.map_keeping(_reader, (request,), ranges, _names("reading", ranges)):
            pass
    missing, unreadable = cache.missing(dataset, items)
    reasons = list(unreadable.values())
    indices = list(missing)
    jobs = [
        (indices[start : start + part], [missing[i] for i in indices[start : start + part]])
        for start in range(0, len(indices), part)
    ]
    names = [f"images {job[0][0] + 1} to {job[0][-1] + 1}" for job in jobs]
    done = 0
    for index, why in engine.map_keeping(_encoder, (request,), jobs, names):
        done += len(jobs[index][0])
        reasons += why
        if progress is not None:
            progress(done, len(indices))
    new = len(indices) - len(cache.missing(dataset, items)[0])
    return Extracted(len(items), new, tuple(reasons))


def _in_files(dataset: Dataset, item: Item) -> bool:
    """Returns whether a data set's images are files, also where that of the item is missing."""
    try:
        return dataset.stamp(item) is not None
    except OSError:
        return True


def _names(what: str, ranges: Sequence[tuple[int, int]]) -> list[str]:
    return [f"{what} images {start + 1} to {end}" for start, end in ranges]


def _reader(request: Request) -> Callable[[int, int], int]:
    """Returns what reads the images of a range and keeps their keys in the cache."""
    dataset = request.dataset()
    items, contents = all_items(dataset), content_keys(request.cache or default_cache())

    def read(start: int, end: int) -> int:
        contents.of(dataset, items[start:end])
        return end - start

    return read


def _encoder(request: Request) -> Callable[[list[int], list[bytes]], list[str]]:
    """Returns what encodes the images with some indices; it returns why others cannot be read."""
    dataset, cache = request.dataset(), request.features(whole=True)
    items = all_items(dataset)

    def encode(indices: list[int], keys: list[bytes]) -> list[str]:
        some = [items[index] for index in indices if index < len(items)]
        contents, unreadable = cache.keys(dataset, some)
        if [contents.get(i) for i in range(len(indices))] != keys and not unreadable:
            raise UserError(
                f"the node {gethostname()} has other images of {dataset.name}: all nodes have to "
                "see the same data"
            )
        try:
            cache.features(dataset, some)
        except UnreadableImagesError as error:
            return list(error.reasons)
        return []

    return encode
