"""The linear probe: logistic regression on image features, with a search for C."""

from __future__ import annotations

import warnings
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
from mocoop.classifiers.c_search import CSearch, own_c
from mocoop.errors import UserError

PROBE_TOLERANCE = 1e-3  # largest gradient at the end, relative to that at zero weights
ABSENT_BIAS = -1e4  # bias of classes without training images: finite, but never predicted


@dataclass(frozen=True)
class LinearProbe:
    """Logistic regression on image features, with C chosen on validation images."""

    weight: Tensor = field(repr=False)  # (classes, dim)
    bias: Tensor = field(repr=False)  # (classes,)
    inverse_regularization: float
    """C in scikit-learn: the larger it is, the weaker the regularisation."""
    val_accuracy: float
    """Accuracy on the validation images, in percent."""
    searched: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    """All values of C that were tried, with their validation accuracy in percent, in order; each
    once."""

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
        """Returns the probe that `to_tensors` described.

        Raises:
            UserError: if a tensor is missing.
        """
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
    search: CSearch = own_c,
) -> LinearProbe:
    """Returns the logistic regression whose C was chosen on the validation images.

    A class without training images gets zero weights and is never predicted. The features are
    L2-normalised and lbfgs runs until its gradient is small relative to the first one; CoOp's
    code takes features as the tower gives them, and scikit-learn's fixed tolerance.

    Args:
        train_features: (images, dim), L2-normalised.
        train_labels: (images,), from 0.
        val_features: (val images, dim), L2-normalised.
        val_labels: (val images,), from 0.
        num_classes: number of classes of the result.
        search: chooses C, `own_c` or `published_c`.

    Raises:
        UserError: if there are no validation images, or training images of only one class.

    Source: CLIP (Radford et al., ICML 2021); CoOp (Zhou et al., IJCV 2022) for few images.
    """
    if len(val_labels) == 0:
        raise UserError(
            "The linear probe chooses its regularisation on validation images, and there are "
            "none. Add validation images to the data, or use a method that needs none: "
            "zero-shot, ensemble, tip-adapter, tip-adapter-f, or any method that learns prompts."
        )
    require_two_classes("The linear probe", train_labels)
    tried: dict[float, LinearProbe] = {}

    def measure(exponent: float) -> float:
        """Returns the validation accuracy in percent with C = 10 ** exponent."""
        if exponent not in tried:
            c = 10.0**exponent
            weight, bias = _logistic_regression(train_features, train_labels, num_classes, c)
            # In fp32, as the weights are saved, so that the accuracy is that of the saved probe.
            accuracy = accuracy_of(linear_logits(val_features, weight, bias), val_labels)
            tried[exponent] = LinearProbe(weight, bias, c, accuracy)
        return tried[exponent].val_accuracy

    chosen = search(measure)
    searched = [(probe.inverse_regularization, probe.val_accuracy) for probe in tried.values()]
    return replace(tried[chosen], searched=tuple(searched))


def _logistic_regression(
    features: Tensor, labels: Tensor, num_classes: int, inverse_regularization: float
) -> tuple[Tensor, Tensor]:
    """Returns scikit-learn's solution: weight (num_classes, dim) and bias (num_classes,)."""
    # Imported here, because the import takes most of a second and only this method needs it.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    classes, targets = labels.unique(return_inverse=True)
    # The features are centred. This does not change the solution, because the intercept is not
    # regularised, but without it the intercepts are still wrong for a small C when lbfgs stops.
    # The tolerance is relative, because the gradient of normalised features shrinks with the
    # number of classes: with 1000 classes, all-zero weights meet scikit-learn's default of 1e-4.
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
    if len(classes) == 2:  # scikit-learn returns only the difference of the two logits
        own_weight = torch.cat([-own_weight, own_weight]) / 2
        own_bias = torch.cat([-own_bias, own_bias]) / 2
    weight = torch.zeros(num_classes, features.shape[1])
    bias = torch.full((num_classes,), ABSENT_BIAS)
    weight[classes] = own_weight.float()
    bias[classes] = (own_bias - own_weight @ mean).float()
    return weight, bias


@dataclass(frozen=True)
class ProbeClassifier(SingleClassifier):
    """The classifier of a linear probe. It cannot predict classes that it was not trained on."""

    probe: LinearProbe = field(repr=False)

    def subset(self, labels: Sequence[int]) -> ProbeClassifier:
        """Returns a classifier of some of the trained classes.

        Raises:
            UserError: if the probe was not trained on one of the classes.
        """
        require_trained("A linear probe", labels, len(self.probe.weight))
        kept = list(labels)
        chosen = replace(self.probe, weight=self.probe.weight[kept], bias=self.probe.bias[kept])
        return replace(self, class_names=self.names_of(labels), probe=chosen)

    def logits(self, image_features: Tensor) -> Tensor:
        """Returns logits (batch, classes) of L2-normalised image features (batch, dim)."""
        # In float64, because the logits of a strongly regularised probe differ by less than the
        # precision of fp32.
        probe = self.probe
        return linear_logits(image_features.double(), probe.weight.double(), probe.bias.double())
