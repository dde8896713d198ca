"""CLIP-Adapter: a small network that changes image features; text features stay as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.classifiers.base import SingleClassifier, as_tensor, require_tensors

REDUCTION = 4
"""How many times narrower the network is in the middle, as in the paper."""


@dataclass(frozen=True)
class FeatureAdapter:
    """A network with one narrow hidden layer, and the share of its output."""

    down: Tensor = field(repr=False)  # (hidden, dim)
    up: Tensor = field(repr=False)  # (dim, hidden)
    ratio: float
    """Share of the network's output in the adapted feature, 0 to 1."""

    def to_tensors(self) -> dict[str, Tensor]:
        """Returns all fields as named tensors; the ratio is a 0-d float64."""
        return {
            "down": self.down.contiguous(),
            "up": self.up.contiguous(),
            "ratio": as_tensor(self.ratio),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Returns the adapter that `to_tensors` described.

        Raises:
            UserError: if a tensor is missing.
        """
        require_tensors("a CLIP-Adapter", tensors, ("down", "up", "ratio"))
        return cls(tensors["down"], tensors["up"], tensors["ratio"].item())


def new_adapter(dim: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Returns random weights (hidden, dim) and (dim, hidden), as PyTorch starts a linear layer.

    Args:
        dim: size of the image features.
        generator: draws the weights; a CPU generator.
    """
    hidden = max(1, dim // REDUCTION)
    down = torch.empty(hidden, dim).uniform_(-1, 1, generator=generator) / math.sqrt(dim)
    up = torch.empty(dim, hidden).uniform_(-1, 1, generator=generator) / math.sqrt(hidden)
    return down, up


def adapted_features(features: Tensor, down: Tensor, up: Tensor, ratio: float) -> Tensor:
    """Returns image features (batch, dim), L2-normalised, with the network's change.

    `normalize(ratio relu(relu(f down^T) up^T) + (1 - ratio) f)`. There is a ReLU after both
    layers and no bias, so that the network scales with its input: normalised features give
    exactly what the authors' code computes from those that the image tower gives.

    Args:
        features: (batch, dim), of any length.
        down: (hidden, dim).
        up: (dim, hidden).
        ratio: share of the network's output; 0.2 in the authors' code.

    Source: Gao et al., IJCV 2024, arXiv 2110.04544, and the authors' public code.
    """
    change = F.relu(F.linear(F.relu(F.linear(features, down)), up))
    return F.normalize(ratio * change + (1 - ratio) * features, dim=-1)


@dataclass(frozen=True)
class AdapterClassifier(SingleClassifier):
    """The classifier of CLIP-Adapter. It works for any class, because only images are adapted."""

    adapter: FeatureAdapter = field(repr=False)
    text: Tensor = field(repr=False)  # (classes, dim), the untrained prompt's features
    logit_scale: float

    def subset(self, labels: Sequence[int]) -> AdapterClassifier:
        """Returns a classifier of some of the classes."""
        return replace(self, class_names=self.names_of(labels), text=self.text[list(labels)])

    def logits(self, image_features: Tensor) -> Tensor:
        """Returns logits (batch, classes) of L2-normalised image features (batch, dim)."""
        own = self.adapter
        adapted = adapted_features(image_features, own.down, own.up, own.ratio)
        return self.logit_scale * (adapted @ self.text.T)
