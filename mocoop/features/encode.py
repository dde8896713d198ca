"""Encodes pictures to image features: views of a picture, and the only encoder for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from mocoop.clip.backbone import Backbone
from mocoop.clip.random_crop import RandomCrop

VIEW_SCALE = (0.5, 1.0)  # area of a random crop, as a fraction of the image
PICTURES_AT_ONCE = 32


@dataclass(frozen=True)
class ImageEncoder:
    """CLIP's image tower in one number format; all image features are computed by it."""

    backbone: Backbone
    precision: torch.dtype = torch.float32
    """Number format inside the tower; the returned features are fp32."""

    def batch(self, images: Tensor) -> Tensor:
        """Returns L2-normalised features (batch, dim), fp32, on the CPU, of transformed images.

        Their length is the backbone's `feature_dim`.
        """
        if not len(images):
            return torch.zeros(0, self.backbone.feature_dim)
        mixed = self.precision != torch.float32
        device = self.backbone.device.type
        with torch.autocast(device, self.precision if mixed else None, enabled=mixed):
            return self.backbone.image_features(images).cpu()

    def pictures(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Returns L2-normalised features (pictures, dim), fp32, on the CPU, for RGB pictures."""
        features = [
            self.batch(torch.stack([self.backbone.transform(picture) for picture in part]))
            for part in _slices(pictures, PICTURES_AT_ONCE)
        ]
        return torch.cat(features) if features else self.batch(torch.empty(0))


def encode_images(
    backbone: Backbone, images: Sequence[Image.Image], precision: torch.dtype = torch.float32
) -> Tensor:
    """Returns L2-normalised features (images, dim), fp32, on the CPU, for RGB pictures.

    Args:
        backbone: the CLIP that encodes the pictures.
        images: RGB pictures.
        precision: number format inside the image tower.
    """
    return ImageEncoder(backbone, precision).pictures(images)


def random_views(backbone: Backbone) -> RandomCrop:
    """Returns the random crop that the views of images for a CLIP are made with."""
    return RandomCrop.from_settings(backbone.preprocess, VIEW_SCALE)


def view_of(backbone: Backbone, image: Image.Image, view: int, key: bytes) -> Tensor:
    """Returns a view (3, height, width) as the CLIP takes it.

    View 0 is the centre crop; every other view is a random crop from `key`.
    """
    if view == 0:
        return backbone.transform(image)
    return random_views(backbone)(image, int.from_bytes(key[:8], "little") % 2**63)


def _slices(pictures: Sequence[Image.Image], size: int) -> list[Sequence[Image.Image]]:
    return [pictures[start : start + size] for start in range(0, len(pictures), size)]
