"""Finds the training images that are most similar to an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from mocoop.datasets.base import Item


@dataclass(frozen=True)
class Neighbour:
    """A training image that is similar to an image."""

    item: Item
    cosine: float
    """Cosine similarity of the two image features, -1 to 1."""


def nearest(
    query: Tensor, features: Tensor, items: Sequence[Item], count: int = 6
) -> list[Neighbour]:
    """Returns the items whose features are nearest to those of an image, nearest first.

    This compares the features in all their dimensions, not positions on a map.

    Args:
        query: (dim,), L2-normalised.
        features: (images, dim), L2-normalised.
        items: the images, in the order of their features.
        count: largest number of items to return.
    """
    cosines = features @ query  # (images,)
    best = cosines.topk(min(count, len(items)))
    return [
        Neighbour(items[index], value)
        for index, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
