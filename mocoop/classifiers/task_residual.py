"""TaskRes: a learned vector for each class, added to the text features of the plain prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch.nn.functional as F
from torch import Tensor

from mocoop.classifiers.base import as_tensor, require_tensors, require_trained
from mocoop.classifiers.prompts import MixtureClassifier


@dataclass(frozen=True)
class TaskResidual:
    """Text features and the learned vectors that are added to them."""

    base: Tensor = field(repr=False)
    """Raw text features (trained classes, dim): means over templates, not normalised."""
    residual: Tensor = field(repr=False)
    """The learned vectors (trained classes, dim)."""
    ratio: float
    """Factor of the learned vectors."""

    @property
    def text(self) -> Tensor:
        """The text features (trained classes, dim) with which images are compared."""
        return residual_text(self.base, self.residual, self.ratio)

    def to_tensors(self) -> dict[str, Tensor]:
        """Returns all fields as named tensors; the ratio is a 0-d float64."""
        return {
            "base": self.base.contiguous(),
            "residual": self.residual.contiguous(),
            "ratio": as_tensor(self.ratio),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Returns the vectors that `to_tensors` described.

        Raises:
            UserError: if a tensor is missing.
        """
        require_tensors("TaskRes", tensors, ("base", "residual", "ratio"))
        return cls(tensors["base"], tensors["residual"], tensors["ratio"].item())


def residual_text(base: Tensor, residual: Tensor, ratio: float) -> Tensor:
    """Returns text features (classes, dim), L2-normalised: `normalize(base + ratio residual)`.

    The base is not normalised, as in the authors' code: how far a vector turns the direction of
    a class depends on the length of its text feature.

    Args:
        base: raw text features, (classes, dim).
        residual: learned vectors, (classes, dim).
        ratio: factor of the learned vectors; 0.5 in the paper.

    Source: Yu et al., CVPR 2023, arXiv 2211.10277, and the authors' public code.
    """
    return F.normalize(base + ratio * residual, dim=-1)


@dataclass(frozen=True)
class TaskResidualClassifier(MixtureClassifier):
    """The classifier of TaskRes. It cannot predict classes that it was not trained on."""

    def subset(self, labels: Sequence[int]) -> TaskResidualClassifier:
        """Returns a classifier of some of the trained classes.

        Raises:
            UserError: if one of the classes has no learned vector.
        """
        require_trained("TaskRes", labels, self.soft.shape[1])
        return replace(self, class_names=self.names_of(labels), soft=self.soft[:, list(labels)])
