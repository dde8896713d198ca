"""Random crops of pictures for training, as torchvision draws them, at a CLIP's input size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from open_clip.transform import PreprocessCfg
from PIL import Image
from torch import Tensor
from torchvision.transforms import (
    Compose,
    InterpolationMode,
    Normalize,
    RandomHorizontalFlip,
    RandomResizedCrop,
    ToTensor,
)


@dataclass(frozen=True)
class RandomCrop:
    """torchvision's random resized crop and flip, then a CLIP's normalisation.

    The crop is resized to the input size at once, bicubic with antialiasing, and nothing is
    resized or cut after it: the training transform of CoOp and of those that follow it.
    """

    size: tuple[int, int]
    """Height and width of the CLIP's input, in pixels."""
    mean: tuple[float, ...]
    """Of each colour channel, as the CLIP expects it."""
    std: tuple[float, ...]
    """Standard deviation of each colour channel."""
    scale: tuple[float, float]
    """Smallest and largest area of a crop, as a share of the picture."""

    @classmethod
    def from_settings(cls, settings: PreprocessCfg, scale: tuple[float, float]) -> RandomCrop:
        """Returns the crops for a CLIP whose pictures are prepared with these settings."""
        size = settings.size
        height, width = (size, size) if isinstance(size, int) else size
        return cls((height, width), tuple(settings.mean), tuple(settings.std), scale)

    @property
    def key(self) -> str:
        """A text that differs whenever a crop drawn from the same seed could differ."""
        return f"random resized crop of scale {self.scale} to {self.size}, flip"

    @cached_property
    def _transform(self) -> Compose:
        bicubic = InterpolationMode.BICUBIC
        return Compose(
            [
                RandomResizedCrop(self.size, self.scale, interpolation=bicubic, antialias=True),
                RandomHorizontalFlip(),
                ToTensor(),
                Normalize(self.mean, self.std),
            ]
        )

    def __call__(self, image: Image.Image, seed: int) -> Tensor:
        """Returns a crop (3, height, width), mirrored every other time; the same for a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._transform(image)
