"""Random crops of pictures for training, as torchvision draws them, at a CLIP's input size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from open_clip.transform import PreprocessCfg
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

RATIO = (3 / 4, 4 / 3)  # width by height of a crop
TRIES = 10  # places that are drawn; if none is inside the picture, its middle is taken


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

    def __call__(self, image: Image.Image, seed: int) -> Tensor:
        """Returns a crop (3, height, width), mirrored every other time; the same for a seed."""
        # Of its own: torchvision's crops draw from the generator that all threads share.
        generator = torch.Generator().manual_seed(seed)
        place = self._place(image.height, image.width, generator)
        crop = transforms.resized_crop(
            image, *place, list(self.size), InterpolationMode.BICUBIC, antialias=True
        )
        if torch.rand(1, generator=generator).item() < 0.5:
            crop = transforms.hflip(crop)
        return transforms.normalize(transforms.to_tensor(crop), list(self.mean), list(self.std))

    def _place(
        self, height: int, width: int, generator: torch.Generator
    ) -> tuple[int, int, int, int]:
        """Returns top, left, height and width of a crop in pixels.

        The numbers are drawn in the order of torchvision's `RandomResizedCrop.get_params`.
        """
        low, high = torch.tensor(RATIO).log().tolist()
        for _ in range(TRIES):
            area = height * width * _uniform(*self.scale, generator).item()
            ratio = _uniform(low, high, generator).exp().item()
            wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < wide <= width and 0 < tall <= height:
                return (
                    _below(height - tall + 1, generator),
                    _below(width - wide + 1, generator),
                    tall,
                    wide,
                )
        wide, tall = width, height
        if width / height < RATIO[0]:
            tall = round(width / RATIO[0])
        elif width / height > RATIO[1]:
            wide = round(height * RATIO[1])
        return (height - tall) // 2, (width - wide) // 2, tall, wide


def _uniform(low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.empty(1).uniform_(low, high, generator=generator)


def _below(count: int, generator: torch.Generator) -> int:
    """Returns a number from 0 to below `count`."""
    return int(torch.randint(count, (1,), generator=generator))
