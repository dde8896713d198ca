"""What a trained run says of images: the common form of every method's classifier."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from mocoop.clip.backbone import Backbone


@dataclass(frozen=True)
class Routed:
    """What a classifier says of a batch of images."""

    class_names: tuple[str, ...]
    experts: tuple[str, ...]
    scores: Tensor = field(repr=False)  # (batch, experts), the router's scores
    weights: Tensor = field(repr=False)  # (batch, experts), zero for experts not chosen
    expert_probabilities: Tensor = field(repr=False)  # (batch, experts, classes)
    probabilities: Tensor = field(repr=False)  # (batch, classes), of the mixture

    def chosen(self, index: int) -> list[tuple[str, float]]:
        """Returns an image's chosen experts with their weights, largest first."""
        order = self.weights[index].argsort(descending=True).tolist()
        pairs = [(self.experts[g], float(self.weights[index, g])) for g in order]
        return [(name, weight) for name, weight in pairs if weight > 0]


@dataclass(frozen=True)
class Classifier(ABC):
    """A finished run, ready for image features."""

    class_names: tuple[str, ...]
    experts: tuple[str, ...]

    @abstractmethod
    def only(self, labels: Sequence[int]) -> Classifier:
        """Returns a classifier among some of the classes.

        Raises:
            UserError: for classes that the method cannot tell apart.
        """

    @abstractmethod
    def classify(self, image_features: Tensor, expert: int | None = None) -> Routed:
        """Returns routing and probabilities of images.

        Args:
            image_features: (batch, dim), L2-normalised, from the run's backbone.
            expert: give all the weight to this expert instead of asking the router.
        """

    def named(self, labels: Sequence[int]) -> tuple[str, ...]:
        """Returns the names of some classes."""
        return tuple(self.class_names[label] for label in labels)


def encode_images(backbone: Backbone, images: Sequence[Image.Image]) -> Tensor:
    """Returns L2-normalised features (images, dim) of RGB images, on the CPU."""
    batch = torch.stack([backbone.transform(image) for image in images])
    return backbone.image_features(batch).cpu()
