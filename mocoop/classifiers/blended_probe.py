"""LP++: a linear layer on image features plus the plain prompt, whose weight is learned per class.

The step sizes come from bounds of the loss's curvature, so that there is no learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.classifiers.base import (
    SingleClassifier,
    accuracy_of,
    as_tensor,
    require_tensors,
    require_trained,
    require_two_classes,
)

STEPS = 300
MOMENTUM = 0.9  # of the steps of the linear layer
BLEND_EVERY = 10  # steps of the linear layer per step of the text's weights
PUBLISHED_FACTORS = (250.0,)
"""Factor of the first weight of the text in the authors' code."""
OWN_FACTORS = (250.0, 25.0, 80.0, 800.0, 2500.0)
"""The factors that we try; of equally good ones the first is kept."""


@dataclass(frozen=True)
class BlendedProbe:
    """A linear layer, and text features with a weight for each class."""

    weight: Tensor = field(repr=False)  # (classes, dim)
    bias: Tensor = field(repr=False)  # (classes,)
    blend: Tensor = field(repr=False)
    """The weight of each class's text feature, (classes,): alpha in the paper."""
    text: Tensor = field(repr=False)  # (classes, dim), L2-normalised
    factor: float
    """Factor of the blend's first value."""
    steps: int
    """Number of steps after which the weights were kept."""
    val_accuracy: float | None
    """Accuracy on the validation images in percent; None if there are none."""

    def to_tensors(self) -> dict[str, Tensor]:
        """Returns all fields as named tensors; numbers are 0-d float64, None is left out."""
        tensors = {
            "weight": self.weight.contiguous(),
            "bias": self.bias.contiguous(),
            "blend": self.blend.contiguous(),
            "text": self.text.contiguous(),
            "factor": as_tensor(self.factor),
            "steps": as_tensor(self.steps),
        }
        if self.val_accuracy is not None:
            tensors["val_accuracy"] = as_tensor(self.val_accuracy)
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Returns the probe that `to_tensors` described.

        Raises:
            UserError: if a tensor is missing.
        """
        names = ("weight", "bias", "blend", "text", "factor", "steps")
        require_tensors("LP++", tensors, names)
        return cls(
            tensors["weight"],
            tensors["bias"],
            tensors["blend"],
            tensors["text"],
            tensors["factor"].item(),
            int(tensors["steps"].item()),
            tensors["val_accuracy"].item() if "val_accuracy" in tensors else None,
        )


def blended_logits(
    features: Tensor, weight: Tensor, bias: Tensor, blend: Tensor, text: Tensor
) -> Tensor:
    """Returns logits (batch, classes): `f (w_c + blend_c t_c) + b_c`, without a logit scale.

    Args:
        features: (batch, dim), L2-normalised.
        weight: w, (classes, dim).
        bias: b, (classes,).
        blend: weight of the text, (classes,).
        text: t, (classes, dim), L2-normalised.
    """
    return F.linear(features, weight + blend[:, None] * text, bias)


def step_sizes(features: Tensor, text: Tensor) -> tuple[float, float]:
    """Returns the step sizes of the linear layer and of the text's weights.

    `4 N / largest eigenvalue of F^T F`, and `N / (4 max_c sum_i (f_i t_c)^2)`.

    Args:
        features: F, (N, dim), L2-normalised.
        text: (classes, dim), L2-normalised.
    """
    double = features.double()
    largest = float(torch.linalg.eigvalsh(double.T @ double)[-1])
    most = float((features @ text.T).double().square().sum(dim=0).max())
    return 4 * len(features) / largest, len(features) / (4 * most)


def fit_blended_probe(
    train_features: Tensor,
    train_labels: Tensor,
    val_features: Tensor,
    val_labels: Tensor,
    text: Tensor,
    factors: Sequence[float] = PUBLISHED_FACTORS,
    steps: int = STEPS,
) -> BlendedProbe:
    """Returns LP++ at the step that is best on the validation images.

    Every step is on all images. The linear layer starts from each class's sum of features, with
    bias 0 (the authors' code draws small biases); the text's weights start from one number for
    all classes, `factor` times the mean over classes of the images' cosine to their class's
    text. Of equally good steps the last is kept, and of equally good factors the first. Without
    validation images it is the last step with the first factor.

    The text's weights move after every tenth step with the gradient of that step. In the authors'
    code that gradient is the sum over all steps so far, because it is never set to zero.

    Args:
        train_features: (images, dim), L2-normalised.
        train_labels: (images,), rows of `text`. A class without images only learns what is not
            of it.
        val_features: (val images, dim), L2-normalised; may be empty.
        val_labels: (val images,).
        text: the untrained prompt's features, (classes, dim), L2-normalised.
        factors: factors of the text's first weight that are tried.
        steps: number of steps.

    Raises:
        UserError: for training images of one class only.

    Source: Huang et al., CVPR 2024, arXiv 2404.02285, and the authors' public code.
    """
    require_two_classes("LP++", train_labels)
    tried = [
        _fit(train_features, train_labels, val_features, val_labels, text, factor, steps)
        for factor in (factors if len(val_labels) > 0 else factors[:1])
    ]
    return max(tried, key=lambda probe: probe.val_accuracy or 0.0)


def _fit(
    features: Tensor,
    labels: Tensor,
    val_features: Tensor,
    val_labels: Tensor,
    text: Tensor,
    factor: float,
    steps: int,
) -> BlendedProbe:
    """Returns the best step with one factor; the arguments are those of `fit_blended_probe`."""
    weight, bias, blend = first_values(features, labels, text, factor)
    rate, blend_rate = step_sizes(features, text)
    cosines = features @ text.T  # (images, classes)
    weight_moved, bias_moved = torch.zeros_like(weight), torch.zeros_like(bias)
    best: BlendedProbe | None = None
    for step in range(1, steps + 1):
        logits = blended_logits(features, weight, bias, blend, text)
        of_weight, of_bias, of_blend = gradients(logits, features, labels, cosines)
        weight_moved = MOMENTUM * weight_moved + of_weight
        bias_moved = MOMENTUM * bias_moved + of_bias
        weight, bias = weight - rate * weight_moved, bias - rate * bias_moved
        if step % BLEND_EVERY == 0:
            blend = blend - blend_rate * of_blend
        accuracy = None
        if len(val_labels) > 0:
            seen = blended_logits(val_features, weight, bias, blend, text)
            accuracy = accuracy_of(seen, val_labels)
        if best is None or accuracy is None or accuracy >= (best.val_accuracy or 0.0):
            best = BlendedProbe(weight, bias, blend, text, factor, step, accuracy)
    assert best is not None, "at least one step"
    return best


def gradients(
    logits: Tensor, features: Tensor, labels: Tensor, cosines: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients of the mean cross-entropy by weight, bias and blend.

    Args:
        logits: (images, classes).
        features: (images, dim), L2-normalised.
        labels: (images,).
        cosines: of the images to the text features, (images, classes).
    """
    target = F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    error = (logits.softmax(dim=-1) - target) / len(labels)  # (images, classes)
    return error.T @ features, error.sum(dim=0), (error * cosines).sum(dim=0)


def first_values(
    features: Tensor, labels: Tensor, text: Tensor, factor: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the first weight (classes, dim), bias (classes,) and blend (classes,).

    Args:
        features: (images, dim), L2-normalised.
        labels: (images,), rows of `text`.
        text: (classes, dim), L2-normalised.
        factor: 250 in the authors' code.
    """
    own = F.one_hot(labels, len(text)).to(features.dtype)  # (images, classes)
    weight = own.T @ features
    counts = own.sum(dim=0)  # (classes,)
    cosines = ((features @ text.T) * own).sum(dim=0)[counts > 0] / counts[counts > 0]
    return weight, weight.new_zeros(len(text)), (factor * cosines.mean()).expand(len(text))


@dataclass(frozen=True)
class BlendedClassifier(SingleClassifier):
    """The classifier of LP++. It cannot predict classes that it was not trained on."""

    probe: BlendedProbe = field(repr=False)

    def subset(self, labels: Sequence[int]) -> BlendedClassifier:
        """Returns a classifier of some of the trained classes.

        Raises:
            UserError: if LP++ was not trained on one of the classes.
        """
        own = self.probe
        require_trained("LP++", labels, len(own.weight))
        kept = list(labels)
        chosen = replace(
            own,
            weight=own.weight[kept],
            bias=own.bias[kept],
            blend=own.blend[kept],
            text=own.text[kept],
        )
        return replace(self, class_names=self.names_of(labels), probe=chosen)

    def logits(self, image_features: Tensor) -> Tensor:
        """Returns logits (batch, classes) of L2-normalised image features (batch, dim)."""
        own = self.probe
        return blended_logits(image_features, own.weight, own.bias, own.blend, own.text)
