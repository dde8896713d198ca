"""The common interface of all classifiers, and their result: probabilities and routing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mocoop.errors import UserError


@dataclass(frozen=True)
class Routed:
    """The result of a classifier for a batch of images: probabilities and routing."""

    class_names: tuple[str, ...]
    experts: tuple[str, ...]
    scores: Tensor = field(repr=False)  # (batch, experts), the router's scores
    weights: Tensor = field(repr=False)  # (batch, experts), zero for experts not chosen
    expert_probabilities: Tensor = field(repr=False)  # (batch, experts, classes), each alone
    probabilities: Tensor = field(repr=False)  # (batch, classes), of the mixture

    @classmethod
    def joined(cls, parts: Sequence[Routed]) -> Routed:
        """Returns the results of one or more batches as one batch."""
        return cls(
            parts[0].class_names,
            parts[0].experts,
            torch.cat([part.scores for part in parts]),
            torch.cat([part.weights for part in parts]),
            torch.cat([part.expert_probabilities for part in parts]),
            torch.cat([part.probabilities for part in parts]),
        )

    def forced(self, expert: int) -> Routed:
        """Returns the result with all weight on one expert; the router is ignored."""
        weights = torch.zeros_like(self.weights)
        weights[:, expert] = 1.0
        probabilities = self.expert_probabilities[:, expert]
        return replace(self, weights=weights, probabilities=probabilities)

    def chosen(self, index: int) -> list[tuple[str, float]]:
        """Returns the chosen experts of an image with their weights, largest weight first."""
        order = self.weights[index].argsort(descending=True).tolist()
        pairs = [(self.experts[g], float(self.weights[index, g])) for g in order]
        return [(name, weight) for name, weight in pairs if weight > 0]


@dataclass(frozen=True)
class Classifier(ABC):
    """A classifier of image features, with its class names and experts."""

    class_names: tuple[str, ...]
    experts: tuple[str, ...]

    @abstractmethod
    def subset(self, labels: Sequence[int]) -> Classifier:
        """Returns a classifier of some of the classes.

        Raises:
            UserError: if the method cannot predict one of the classes.
        """

    @abstractmethod
    def classify(self, image_features: Tensor) -> Routed:
        """Returns probabilities and routing of images.

        Args:
            image_features: (batch, dim), L2-normalised, from the run's backbone.
        """

    def names_of(self, labels: Sequence[int]) -> tuple[str, ...]:
        """Returns the names of some classes."""
        return tuple(self.class_names[label] for label in labels)


ONE = ("prompt",)  # the one expert of methods without a mixture


@dataclass(frozen=True)
class SingleClassifier(Classifier):
    """A classifier without a mixture. It has one expert, `prompt`, with weight 1."""

    @abstractmethod
    def logits(self, image_features: Tensor) -> Tensor:
        """Returns logits (batch, classes) of L2-normalised image features (batch, dim)."""

    @torch.no_grad()
    def classify(self, image_features: Tensor) -> Routed:
        """Returns probabilities; the routing is the same for every image."""
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
    """Returns the accuracy in percent.

    Args:
        logits: logits or probabilities, (images, classes).
        labels: (images,).
    """
    return 100.0 * int((logits.argmax(dim=-1) == labels).sum()) / len(labels)


def require_two_classes(label: str, labels: Tensor) -> None:
    """Raises UserError unless the training images are of at least two classes.

    Args:
        label: the method's name in texts, for the message.
        labels: of the training images, (images,).
    """
    present = len(labels.unique())
    if present < 2:
        raise UserError(
            f"{label} needs training images of at least two classes, got {present}. "
            "Add images of another class, or use zero-shot."
        )


def require_trained(label: str, labels: Sequence[int], count: int) -> None:
    """Raises UserError if a class has no training images.

    Args:
        label: the method's name in texts, for the message.
        labels: the classes that should be predicted.
        count: number of trained classes; they are the first ones.
    """
    if max(labels) >= count:
        raise UserError(
            f"{label} knows only the {count} classes it was trained on. For other classes, use a "
            "method with text features."
        )


def as_tensor(value: float) -> Tensor:
    """Returns a 0-d float64 tensor, whose `item()` is exactly the same number."""
    return torch.tensor(value, dtype=torch.float64)


def require_tensors(kind: str, tensors: Mapping[str, Tensor], names: Iterable[str]) -> None:
    """Raises UserError if a tensor is missing.

    Args:
        kind: what the weights should belong to, for the message.
        tensors: the weights.
        names: the names that they must have.
    """
    missing = [name for name in names if name not in tensors]
    if missing:
        raise UserError(
            f"These are not the weights of {kind}: {', '.join(missing)} missing, got "
            f"{', '.join(sorted(tensors)) or 'nothing'}. Train the run again."
        )
