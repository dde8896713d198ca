"""The training images that a picture is most like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from mocoop.datasets.base import Item


@dataclass(frozen=True)
class Neighbour:
    """A training image near a picture."""

    item: Item
    cosine: float
    """Of the two image features, -1 to 1."""


def nearest(
    query: Tensor, features: Tensor, items: Sequence[Item], count: int = 6
) -> list[Neighbour]:
    """Returns the items whose features are nearest to a picture's, nearest first.

    The features themselves are compared, in all their dimensions, not places on a map.

    Args:
        query: (dim,), L2-normalised.
        features: (images, dim), L2-normalised.
        items: the images, in the order of their features.
        count: how many to return, or all if there are fewer.
    """
    cosines = features @ query  # (images,)
    best = cosines.topk(min(count, len(items)))
    return [
        Neighbour(items[index], value)
        for index, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
