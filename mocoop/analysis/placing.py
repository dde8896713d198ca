"""Places more text features on a finished map, and finds the groups that they are near to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.analysis.projection import Projection

NEAREST = 3  # points between which UMAP's new points stand


@dataclass(frozen=True)
class Nearness:
    """How near the features of a sentence are to a group's hard prompts."""

    cosine: float
    """Mean over classes of the cosine to the group's prototype."""
    nearest: float
    """Share of the classes for which this group's prototype is the nearest, 0 to 1."""


def place(projection: Projection, features: Tensor) -> Tensor:
    """Returns where features stand on a map that was fitted without them, (points, dims).

    A map by PCA is linear, so the places are exact: those that the map would give. UMAP has no
    such function; a point stands between its nearest points of the map, by cosine, and so on
    their place if it equals one of them.

    Args:
        projection: the map.
        features: (points, dim), L2-normalised.
    """
    if projection.settings.method == "pca":
        return _by_linear_map(projection, features)
    return _between_neighbours(projection, features)


def nearness(text: Tensor, prototypes: Tensor) -> list[Nearness]:
    """Returns how near a sentence is to every group.

    Args:
        text: (classes, dim), L2-normalised.
        prototypes: (groups, classes, dim), L2-normalised.
    """
    cosines = torch.einsum("cd,gcd->gc", text, prototypes)  # (groups, classes)
    nearest = cosines.argmax(dim=0)  # (classes,)
    return [
        Nearness(row.mean().item(), (nearest == group).double().mean().item())
        for group, row in enumerate(cosines)
    ]


def _by_linear_map(projection: Projection, features: Tensor) -> Tensor:
    """Returns the places on a map of principal components.

    With X = U S Vᵀ the centred points, the coordinates are C = X V_k = U_k S_k. So Xᵀ C = V_k S_k²
    gives the axes V_k without another decomposition.
    """
    known = projection.points.features.double()
    mean = known.mean(dim=0)
    drawn = projection.coordinates.double()  # (points, dims)
    squares = drawn.square().sum(dim=0)  # S_k²; 0 where there are fewer points than dimensions
    axes = (known - mean).T @ drawn / squares.where(squares > 0, 1.0)  # (dim, dims)
    return ((features.double() - mean) @ axes).float()


def _between_neighbours(projection: Projection, features: Tensor) -> Tensor:
    known = F.normalize(projection.points.features, dim=-1)
    near = (features @ known.T).topk(min(NEAREST, len(known)), dim=-1)  # (points, neighbours)
    distance = (1 - near.values.double()).clamp(min=0)
    weights = 1 / (distance + 1e-6)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    places = projection.coordinates.double()[near.indices]  # (points, neighbours, dims)
    return (weights[..., None] * places).sum(dim=1).float()
