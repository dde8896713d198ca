"""The linear probe: logistic regression on image features, as CoOp's protocol searches it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.classifiers.base import SingleClassifier, accuracy_of, as_tensor, require_tensors
from mocoop.errors import UserError

PROBE_EXPONENTS = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)  # log10 of the C tried first
PROBE_REFINEMENTS = 8
PROBE_TOLERANCE = 1e-3  # of the gradient, as a share of the gradient at zero weights
ABSENT_BIAS = -1e4  # of a class without training images: never predicted, yet finite


@dataclass(frozen=True)
class LinearProbe:
    """Logistic regression on image features, its regularisation chosen on validation images."""

    weight: Tensor = field(repr=False)  # (classes, dim)
    bias: Tensor = field(repr=False)  # (classes,)
    inverse_regularization: float
    """C of scikit-learn: the larger, the freer the weights."""
    val_accuracy: float
    """Share of right predictions on the validation images, in percent."""
    searched: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    """Every C that was tried with its validation accuracy in percent, in order."""

    def to_tensors(self) -> dict[str, Tensor]:
        """Returns all fields as named tensors; numbers are 0-d float64."""
        return {
            "weight": self.weight.contiguous(),
            "bias": self.bias.contiguous(),
            "inverse_regularization": as_tensor(self.inverse_regularization),
            "val_accuracy": as_tensor(self.val_accuracy),
            "searched": torch.tensor(self.searched, dtype=torch.float64).view(-1, 2),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Returns what `to_tensors` wrote down; UserError if something is missing."""
        names = ("weight", "bias", "inverse_regularization", "val_accuracy", "searched")
        require_tensors("a linear probe", tensors, names)
        return cls(
            tensors["weight"],
            tensors["bias"],
            tensors["inverse_regularization"].item(),
            tensors["val_accuracy"].item(),
            tuple((c, accuracy) for c, accuracy in tensors["searched"].tolist()),
        )


def linear_logits(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Returns logits (batch, classes) of image features (batch, dim).

    Args:
        features: (batch, dim).
        weight: (classes, dim).
        bias: (classes,).
    """
    return F.linear(features, weight, bias)


def fit_linear_probe(
    train_features: Tensor,
    train_labels: Tensor,
    val_features: Tensor,
    val_labels: Tensor,
    num_classes: int,
) -> LinearProbe:
    """Returns the logistic regression with the best accuracy on the validation images.

    C is searched over 1e-6, 1e-4, ..., 1e6 and then around the best in eight steps: one C to
    its left and one to its right are tried, at a distance of 1, 1/2, ..., 1/128 decades, and
    the best of the three is kept. Of equally good ones the C nearest to 1 (scikit-learn's
    default) is kept, as a plateau would else end in weights of nearly zero or without bounds.
    A class without training images gets zero weights and is never predicted.

    Args:
        train_features: (images, dim), L2-normalised.
        train_labels: (images,), from 0.
        val_features: (val images, dim), L2-normalised.
        val_labels: (val images,), from 0.
        num_classes: classes of the result.

    Raises:
        UserError: without validation images, or with training images of one class only.

    The protocol is that of CoOp (Zhou et al., IJCV 2022), after CLIP (Radford et al., ICML
    2021). CoOp's public code keeps the largest of equally good C in the first search, and its
    eight steps halve an interval without trying its middle.
    """
    if len(val_labels) == 0:
        raise UserError(
            "The linear probe chooses its regularisation on validation images, and there are "
            "none. Add validation images to the data, or use a method that needs none: "
            "zero-shot, ensemble, tip-adapter, tip-adapter-f, or any prompt learning."
        )
    present = len(train_labels.unique())
    if present < 2:
        raise UserError(
            f"The linear probe expects training images of at least two classes, got {present}. "
            "Add images of another class, or use zero-shot."
        )
    tried: dict[float, LinearProbe] = {}

    def best(exponents: Iterable[float]) -> float:
        """Returns the best of all exponents so far, after trying these."""
        for exponent in exponents:
            c = 10.0**exponent
            weight, bias = _logistic_regression(train_features, train_labels, num_classes, c)
            # Judged as saved, in fp32, so that the accuracy is that of the weights in use.
            accuracy = accuracy_of(linear_logits(val_features, weight, bias), val_labels)
            tried[exponent] = LinearProbe(weight, bias, c, accuracy)
        return max(tried, key=lambda at: (tried[at].val_accuracy, -abs(at), at))

    peak = best(PROBE_EXPONENTS)
    for step in range(PROBE_REFINEMENTS):
        distance = 0.5**step
        peak = best((peak - distance, peak + distance))
    searched = [(probe.inverse_regularization, probe.val_accuracy) for probe in tried.values()]
    return replace(tried[peak], searched=tuple(searched))


def _logistic_regression(
    features: Tensor, labels: Tensor, num_classes: int, inverse_regularization: float
) -> tuple[Tensor, Tensor]:
    """Returns weight (num_classes, dim) and bias (num_classes,) of scikit-learn's solution."""
    # Here, because importing it takes most of a second, which only this method needs.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    classes, targets = labels.unique(return_inverse=True)
    # The intercept is not regularised, so that centring changes the path to the solution and
    # not the solution: without it, the intercepts of a small C are still far off when lbfgs
    # stops. And the gradient of normalised features shrinks with the number of classes: with
    # 1000 of them scikit-learn's fixed tolerance (1e-4) is met by all-zero weights.
    mean = features.double().mean(dim=0)  # (dim,)
    centred = features.double() - mean
    residual = F.one_hot(targets).double() - 1 / len(classes)  # (images, classes)
    steepest = (residual.T @ centred).abs().max().item() / len(labels)
    tolerance = PROBE_TOLERANCE * steepest
    model = LogisticRegression(C=inverse_regularization, tol=tolerance, max_iter=1000)  # lbfgs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")
        model.fit(centred.numpy(), targets.numpy())
    own_weight = torch.from_numpy(model.coef_)
    own_bias = torch.from_numpy(model.intercept_)
    if len(classes) == 2:  # scikit-learn gives the difference of the two logits alone
        own_weight = torch.cat([-own_weight, own_weight]) / 2
        own_bias = torch.cat([-own_bias, own_bias]) / 2
    weight = torch.zeros(num_classes, features.shape[1])
    bias = torch.full((num_classes,), ABSENT_BIAS)
    weight[classes] = own_weight.float()
    bias[classes] = (own_bias - own_weight @ mean).float()
    return weight, bias


@dataclass(frozen=True)
class ProbeClassifier(SingleClassifier):
    """A linear probe; classes it was not trained on have no weights."""

    probe: LinearProbe = field(repr=False)

    def subset(self, labels: Sequence[int]) -> ProbeClassifier:
        """Returns a classifier among some of the trained classes.

        Raises:
            UserError: for a class that the probe was not trained on.
        """
        if max(labels) >= len(self.probe.weight):
            raise UserError(
                f"A linear probe knows only the {len(self.probe.weight)} classes it was trained "
                "on, and there are no others to ask it about. Use a method with text features."
            )
        kept = list(labels)
        chosen = replace(self.probe, weight=self.probe.weight[kept], bias=self.probe.bias[kept])
        return replace(self, class_names=self.names_of(labels), probe=chosen)

    def logits(self, image_features: Tensor) -> Tensor:
        """Returns (batch, classes) of normalised image features (batch, dim)."""
        # Probabilities of a strongly regularised probe differ by less than fp32 can tell.
        probe = self.probe
        return linear_logits(image_features.double(), probe.weight.double(), probe.bias.double())
