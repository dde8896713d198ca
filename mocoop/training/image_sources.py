"""Image features for training: computed once and cached, or computed again in every step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from mocoop.clip.random_crop import RandomCrop
from mocoop.model.mixture import PromptMixture

CROP_SCALE = (0.08, 1.0)  # area of CoOp's random crops, as a share of the image
_MAX_CACHE_BYTES = 2**30  # transformed pictures are kept in memory up to this size in total


class ImageSource(Protocol):
    """Images of a training or validation set, as features."""

    def __len__(self) -> int:
        """Returns the number of images."""

    def prefetch(self, chosen: Tensor, epoch: int) -> None:
        """Starts to load the images of a later call of `batch`, where loading takes time."""

    def batch(
        self, model: PromptMixture, chosen: Tensor, epoch: int, generator: torch.Generator
    ) -> Tensor:
        """Returns features of the chosen images for a training step: (batch, dim), or (batch,
        2 dim) as `step_losses` takes them.
        """

    def plain(self, model: PromptMixture) -> Tensor:
        """Returns features (images, dim) of all images without augmentation or gradient."""

    def to(self, device: torch.device) -> ImageSource:
        """Returns the same images, with their features on a device."""


@dataclass(frozen=True)
class CachedImages:
    """Images of a frozen image tower: their features are computed once."""

    features: Tensor  # (images, views, dim), L2-normalised

    def __len__(self) -> int:
        return len(self.features)

    def prefetch(self, chosen: Tensor, epoch: int) -> None:
        """Does nothing: the features are in memory already."""

    def batch(
        self, model: PromptMixture, chosen: Tensor, epoch: int, generator: torch.Generator
    ) -> Tensor:
        """Returns features (batch, dim) of one random view of each image."""
        view = torch.randint(self.features.shape[1], (len(chosen),), generator=generator)
        return self.features[chosen, view]

    def plain(self, model: PromptMixture) -> Tensor:
        """Returns features (images, dim) of the centre crops."""
        return self.features[:, 0]

    def to(self, device: torch.device) -> CachedImages:
        """Returns the same features on a device."""
        return CachedImages(self.features.to(device))


class Prefetcher:
    """Loads batches of pictures in one background thread, in the order of the requests."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")
        self._pending: dict[tuple, Future[Tensor]] = {}

    def start(self, key: tuple, load: Callable[[], Tensor]) -> None:
        """Starts to load the batch with this key."""
        if key not in self._pending:
            self._pending[key] = self._thread.submit(load)

    def take(self, key: tuple, load: Callable[[], Tensor]) -> Tensor:
        """Returns the batch with this key; loads it now if `start` was not called for it.

        Loading always happens in the one thread. An error in it is raised here.
        """
        self.start(key, load)
        return self._pending.pop(key).result()


class PictureCache:
    """Transformed pictures by index, kept if all of them together take at most 1 GiB.

    Args:
        count: number of pictures.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pictures: dict[int, Tensor] = {}

    def get(self, index: int, load: Callable[[int], Tensor]) -> Tensor:
        """Returns the picture at an index; loads it if it is not in the cache."""
        picture = self._pictures.get(index)
        if picture is None:
            picture = load(index)
            if picture.nbytes * self._count <= _MAX_CACHE_BYTES:
                self._pictures[index] = picture
        return picture


@dataclass(frozen=True)
class LiveImages:
    """Images that go through the image tower in every step, with its current LayerNorms.

    Prefetched pictures are loaded and transformed while the step before them computes. A
    random crop depends only on the seed, the epoch and the image's index, so that it does not
    depend on the batches.
    """

    tower: nn.Module
    load: Callable[[int], Image.Image]
    """Returns the picture at an index."""
    count: int
    transform: Callable[[Image.Image], Tensor]
    device: torch.device
    crop: RandomCrop | None = None
    """Draws a crop of every picture in every epoch; None takes the centre crop."""
    seed: int = 0
    chunk: int = 128
    """Images per forward pass outside of training."""
    prefetcher: Prefetcher = field(default_factory=Prefetcher, repr=False)
    """Loads the next step's pictures while a step computes."""

    @cached_property
    def picture_cache(self) -> PictureCache:
        """The transformed pictures without a random crop."""
        return PictureCache(self.count)

    def __len__(self) -> int:
        return self.count

    def prefetch(self, chosen: Tensor, epoch: int) -> None:
        """Starts to load the pictures of a later step."""
        indices, crop_epoch = chosen.tolist(), epoch if self.crop else None
        self.prefetcher.start((*indices, crop_epoch), lambda: self._pictures(indices, crop_epoch))

    def batch(
        self, model: PromptMixture, chosen: Tensor, epoch: int, generator: torch.Generator
    ) -> Tensor:
        """Returns features from the model's `training_features`, with gradients."""
        indices, crop_epoch = chosen.tolist(), epoch if self.crop else None
        images = self.prefetcher.take(
            (*indices, crop_epoch), lambda: self._pictures(indices, crop_epoch)
        )
        return model.ranks.over_images(
            images, lambda some: model.training_features(self.tower, some, generator)
        )

    @torch.no_grad()
    def plain(self, model: PromptMixture) -> Tensor:
        """Returns features (images, dim) of the centre crops."""

        def encoded(some: Tensor) -> Tensor:
            parts = [
                model.image_features(self.tower, self._pictures(indices.tolist(), None))
                for indices in some.split(self.chunk)
            ]
            return torch.cat(parts)

        return model.ranks.over_images(torch.arange(self.count), encoded)

    def to(self, device: torch.device) -> LiveImages:
        """Returns the same images, with their batches on a device."""
        return replace(self, device=device)

    def _pictures(self, indices: Sequence[int], epoch: int | None) -> Tensor:
        """Returns transformed pictures (batch, 3, height, width).

        With an epoch each picture has that epoch's random crop, with None it has none.
        """
        if self.crop is not None and epoch is not None:
            crop = self.crop
            rows = [crop(self.load(index), self._crop_seed(index, epoch)) for index in indices]
        else:
            without_crop = lambda index: self.transform(self.load(index))
            rows = [self.picture_cache.get(index, without_crop) for index in indices]
        return torch.stack(rows).to(self.device)

    def _crop_seed(self, index: int, epoch: int) -> int:
        """Returns the seed of a picture's random crop in an epoch."""
        digest = hashlib.sha256(f"{self.seed} {epoch} {index}".encode()).digest()
        return int.from_bytes(digest[:8], "little") % 2**63
