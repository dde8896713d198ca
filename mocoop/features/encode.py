"""From pictures to image features: views of a picture, and the one way to encode them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from mocoop.clip.backbone import Backbone
from mocoop.storage.images import random_crop

VIEW_SCALE = (0.5, 1.0)  # area of a random crop, as a share of the image
PICTURES_AT_ONCE = 32


@dataclass(frozen=True)
class ImageEncoder:
    """A CLIP's image tower in a number format; whatever becomes a feature goes through it."""

    backbone: Backbone
    precision: torch.dtype = torch.float32
    """The number format inside the tower; features come back in fp32."""

    def batch(self, images: Tensor) -> Tensor:
        """Returns L2-normalised features (batch, dim), fp32, on the CPU, of transformed images."""
        if not len(images):
            return torch.zeros(0, self.backbone.text.dim)
        lower = self.precision != torch.float32
        kind = self.backbone.device.type
        with torch.autocast(kind, self.precision if lower else None, enabled=lower):
            return self.backbone.image_features(images).cpu()

    def pictures(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Returns L2-normalised features (pictures, dim), fp32, on the CPU, of RGB pictures."""
        features = [
            self.batch(torch.stack([self.backbone.transform(picture) for picture in part]))
            for part in _slices(pictures, PICTURES_AT_ONCE)
        ]
        return torch.cat(features) if features else self.batch(torch.empty(0))


def encode_images(
    backbone: Backbone, images: Sequence[Image.Image], precision: torch.dtype = torch.float32
) -> Tensor:
    """Returns L2-normalised features (images, dim), fp32, on the CPU, of RGB pictures.

    Args:
        backbone: the CLIP that sees the pictures.
        images: RGB pictures.
        precision: the number format inside the image tower.
    """
    return ImageEncoder(backbone, precision).pictures(images)


def view_of(image: Image.Image, view: int, key: bytes) -> Image.Image:
    """Returns a view of an image: itself for view 0, else a crop drawn from `key`."""
    if view == 0:
        return image
    return random_crop(image, int.from_bytes(key[:8], "little") % 2**63, VIEW_SCALE)


def _slices(pictures: Sequence[Image.Image], size: int) -> list[Sequence[Image.Image]]:
    return [pictures[start : start + size] for start in range(0, len(pictures), size)]
