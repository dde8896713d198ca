"""Where the image features of a training come from: computed once, or anew in every step."""

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

from mocoop.model.mixture import PromptMixture
from mocoop.storage.images import random_crop

CROP_SCALE = (0.08, 1.0)  # area of CoOp's random crops, as a share of the image
_KEEP_BYTES = 2**30  # transformed pictures are kept in memory up to this size


class ImageSource(Protocol):
    """Images of a training or validation set."""

    def __len__(self) -> int:
        """Returns how many images there are."""

    def expect(self, chosen: Tensor, epoch: int) -> None:
        """Begins to load what `batch` will be asked for, where loading takes time."""

    def batch(
        self, model: PromptMixture, chosen: Tensor, epoch: int, generator: torch.Generator
    ) -> Tensor:
        """Returns features (batch, dim) of the chosen images for a training step."""

    def plain(self, model: PromptMixture) -> Tensor:
        """Returns features (images, dim) of all images as they are, without gradient."""

    def to(self, device: torch.device) -> ImageSource:
        """Returns the same images on a device."""


@dataclass(frozen=True)
class CachedImages:
    """Images of a frozen tower: their features, once and for all."""

    features: Tensor  # (images, views, dim), L2-normalised

    def __len__(self) -> int:
        return len(self.features)

    def expect(self, chosen: Tensor, epoch: int) -> None:
        """Does nothing: features are there already."""

    def batch(
        self, model: PromptMixture, chosen: Tensor, epoch: int, generator: torch.Generator
    ) -> Tensor:
        """Returns features (batch, dim), of one view of each image."""
        view = torch.randint(self.features.shape[1], (len(chosen),), generator=generator)
        return self.features[chosen, view]

    def plain(self, model: PromptMixture) -> Tensor:
        """Returns features (images, dim) of the centre crops."""
        return self.features[:, 0]

    def to(self, device: torch.device) -> CachedImages:
        """Returns the same features on a device."""
        return CachedImages(self.features.to(device))


class Background:
    """Loads pictures in a thread of its own, in the order in which they are expected."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")
        self._expected: dict[tuple, Future[Tensor]] = {}

    def start(self, key: tuple, load: Callable[[], Tensor]) -> None:
        """Begins to load what will be taken by this key."""
        if key not in self._expected:
            self._expected[key] = self._thread.submit(load)

    def take(self, key: tuple, load: Callable[[], Tensor]) -> Tensor:
        """Returns what was expected by this key, or else loads it after what is expected.

        Always in the one thread: crops are drawn from a generator that threads would share. An
        error of the thread is raised here, where it belongs.
        """
        self.start(key, load)
        return self._expected.pop(key).result()


class PictureMemory:
    """Transformed pictures by their place, kept if all of them take less than a gibibyte.

    Args:
        count: how many pictures there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pictures: dict[int, Tensor] = {}

    def get(self, place: int, load: Callable[[int], Tensor]) -> Tensor:
        """Returns the picture at a place, loaded unless it was kept."""
        picture = self._pictures.get(place)
        if picture is None:
            picture = load(place)
            if picture.nbytes * self._count <= _KEEP_BYTES:
                self._pictures[place] = picture
        return picture


@dataclass(frozen=True)
class LiveImages:
    """Images that go through the tower in every step, with its LayerNorms as they are then.

    Pictures that are expected are loaded and transformed while the step before computes.
    A random crop depends on the seed, the epoch and the image's place alone, so that it is
    the same however the images are batched.
    """

    tower: nn.Module
    load: Callable[[int], Image.Image]
    """The picture at a place."""
    count: int
    transform: Callable[[Image.Image], Tensor]
    device: torch.device
    crops: bool = False
    seed: int = 0
    chunk: int = 128
    """Images per forward pass outside of training."""
    background: Background = field(default_factory=Background, repr=False)
    """Loads the next step's pictures while a step computes."""

    @cached_property
    def memory(self) -> PictureMemory:
        """The pictures that are kept as they are, without a crop."""
        return PictureMemory(self.count)

    def __len__(self) -> int:
        return self.count

    def expect(self, chosen: Tensor, epoch: int) -> None:
        """Begins to load the pictures of a step that comes."""
        places, drawn = chosen.tolist(), epoch if self.crops else None
        self.background.start((*places, drawn), lambda: self._pictures(places, drawn))

    def batch(
        self, model: PromptMixture, chosen: Tensor, epoch: int, generator: torch.Generator
    ) -> Tensor:
        """Returns features (batch, dim) with gradients to the model's LayerNorms."""
        places, drawn = chosen.tolist(), epoch if self.crops else None
        images = self.background.take((*places, drawn), lambda: self._pictures(places, drawn))
        return model.image_features(self.tower, images)

    @torch.no_grad()
    def plain(self, model: PromptMixture) -> Tensor:
        """Returns features (images, dim) of the centre crops."""
        parts = [
            model.image_features(self.tower, self._pictures(places.tolist(), None))
            for places in torch.arange(self.count).split(self.chunk)
        ]
        return torch.cat(parts)

    def to(self, device: torch.device) -> LiveImages:
        """Returns the same images, whose batches go to a device."""
        return replace(self, device=device)

    def _pictures(self, places: Sequence[int], epoch: int | None) -> Tensor:
        """Returns transformed pictures (batch, 3, height, width), cropped for an epoch."""
        if epoch is not None:
            rows = [
                self.transform(random_crop(self.load(place), self._draw(place, epoch), CROP_SCALE))
                for place in places
            ]
        else:
            plain = lambda place: self.transform(self.load(place))
            rows = [self.memory.get(place, plain) for place in places]
        return torch.stack(rows).to(self.device)

    def _draw(self, place: int, epoch: int) -> int:
        """Returns the seed of a picture's crop in an epoch."""
        digest = hashlib.sha256(f"{self.seed} {epoch} {place}".encode()).digest()
        return int.from_bytes(digest[:8], "little") % 2**63
