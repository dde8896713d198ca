"""From pictures to image features: views of a picture, and the one way to encode them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from mocoop.clip.backbone import Backbone
from mocoop.storage.images import random_crop

VIEW_SCALE = (0.5, 1.0)  # area of a random crop, as a share of the image


def encode_images(backbone: Backbone, images: Sequence[Image.Image]) -> Tensor:
    """Returns L2-normalised features (images, dim) of RGB images, on the CPU."""
    batch = torch.stack([backbone.transform(image) for image in images])
    return backbone.image_features(batch).cpu()


def view_of(image: Image.Image, view: int, key: bytes) -> Image.Image:
    """Returns a view of an image: itself for view 0, else a crop drawn from `key`."""
    if view == 0:
        return image
    return random_crop(image, int.from_bytes(key[:8], "little") % 2**63, VIEW_SCALE)
