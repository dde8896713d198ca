"""What a trained run says of images: the common form of every method's classifier."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mocoop.errors import UserError


@dataclass(frozen=True)
class Routed:
    """What a classifier says of a batch of images."""

    class_names: tuple[str, ...]
    experts: tuple[str, ...]
    scores: Tensor = field(repr=False)  # (batch, experts), the router's scores
    weights: Tensor = field(repr=False)  # (batch, experts), zero for experts not chosen
    expert_probabilities: Tensor = field(repr=False)  # (batch, experts, classes)
    probabilities: Tensor = field(repr=False)  # (batch, classes), of the mixture

    @classmethod
    def joined(cls, parts: Sequence[Routed]) -> Routed:
        """Returns what a classifier says of several batches, at least one, as one batch."""
        return cls(
            parts[0].class_names,
            parts[0].experts,
            torch.cat([part.scores for part in parts]),
            torch.cat([part.weights for part in parts]),
            torch.cat([part.expert_probabilities for part in parts]),
            torch.cat([part.probabilities for part in parts]),
        )

    def forced(self, expert: int) -> Routed:
        """Returns the same images with all the weight on one expert, whatever the router says."""
        weights = torch.zeros_like(self.weights)
        weights[:, expert] = 1.0
        alone = self.expert_probabilities[:, expert]
        return replace(self, weights=weights, probabilities=alone)

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
    def subset(self, labels: Sequence[int]) -> Classifier:
        """Returns a classifier among some of the classes.

        Raises:
            UserError: for classes that the method cannot tell apart.
        """

    @abstractmethod
    def classify(self, image_features: Tensor) -> Routed:
        """Returns routing and probabilities of images.

        Args:
            image_features: (batch, dim), L2-normalised, from the run's backbone.
        """

    def names_of(self, labels: Sequence[int]) -> tuple[str, ...]:
        """Returns the names of some classes."""
        return tuple(self.class_names[label] for label in labels)


ONE = ("prompt",)  # the one expert of methods without a mixture


@dataclass(frozen=True)
class SingleClassifier(Classifier):
    """A classifier without experts: what it says is what its one `prompt` says."""

    @abstractmethod
    def logits(self, image_features: Tensor) -> Tensor:
        """Returns (batch, classes) of normalised image features (batch, dim)."""

    @torch.no_grad()
    def classify(self, image_features: Tensor) -> Routed:
        """Returns probabilities; there is no routing to choose."""
        probabilities = self.logits(image_features).softmax(dim=-1)
        scores = image_features.new_zeros(len(image_features), 1)
        return Routed(
            self.class_names,
            self.experts,
            scores,
            torch.ones_like(scores),
            probabilities[:, None],
            probabilities,
        )


def accuracy_of(logits: Tensor, labels: Tensor) -> float:
    """Returns the share of right predictions in percent.

    Args:
        logits: (images, classes), or probabilities.
        labels: (images,).
    """
    return 100.0 * int((logits.argmax(dim=-1) == labels).sum()) / len(labels)


def as_tensor(value: float) -> Tensor:
    """Returns a 0-d tensor that gives the same number back."""
    return torch.tensor(value, dtype=torch.float64)


def require_tensors(kind: str, tensors: Mapping[str, Tensor], names: Iterable[str]) -> None:
    """Raises UserError if one of the names is missing."""
    missing = [name for name in names if name not in tensors]
    if missing:
        raise UserError(
            f"These weights are not those of {kind}: {', '.join(missing)} missing, got "
            f"{', '.join(sorted(tensors)) or 'nothing'}. Train the run again."
        )
