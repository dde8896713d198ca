"""Two rivals of prompt learning on the same image features: linear probe and Tip-Adapter."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from mocoop.errors import UserError
from mocoop.losses import classification_loss

PROBE_EXPONENTS = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)  # log10 of the C tried first
PROBE_REFINEMENTS = 8
PROBE_TOLERANCE = 1e-3  # of the gradient, as a share of the gradient at zero weights
ABSENT_BIAS = -1e4  # of a class without training images: never predicted, yet finite

DEFAULT_ALPHA = 1.0
DEFAULT_BETA = 5.5
TIP_ALPHAS = tuple(round(0.1 + 0.1 * step, 1) for step in range(30))  # 0.1 to 3
TIP_BETAS = tuple(round(0.1 + 0.3 * step, 1) for step in range(24))  # 0.1 to 7


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
            "inverse_regularization": _number(self.inverse_regularization),
            "val_accuracy": _number(self.val_accuracy),
            "searched": torch.tensor(self.searched, dtype=torch.float64).view(-1, 2),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Returns what `to_tensors` wrote down; UserError if something is missing."""
        names = ("weight", "bias", "inverse_regularization", "val_accuracy", "searched")
        _require("a linear probe", tensors, names)
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
    the best of the three is kept. Of equally good ones the smallest C is kept. A class
    without training images gets zero weights and is never predicted.

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
            accuracy = _accuracy(linear_logits(val_features, weight, bias), val_labels)
            tried[exponent] = LinearProbe(weight, bias, c, accuracy)
        return max(tried, key=lambda exponent: (tried[exponent].val_accuracy, -exponent))

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
class TipAdapter:
    """A cache of the few-shot images whose votes are added to the zero-shot logits."""

    keys: Tensor = field(repr=False)  # (shots, dim)
    values: Tensor = field(repr=False)  # (shots, classes), one-hot
    alpha: float
    """Residual ratio: the weight of the cache beside the zero-shot logits."""
    beta: float
    """Sharpness: the larger, the less an image that is not alike counts."""
    val_accuracy: float | None
    """Share of right predictions on the validation images, in percent; None without any."""

    def to_tensors(self) -> dict[str, Tensor]:
        """Returns all fields as named tensors; numbers are 0-d float64, None is left out."""
        tensors = {
            "keys": self.keys.contiguous(),
            "values": self.values.contiguous(),
            "alpha": _number(self.alpha),
            "beta": _number(self.beta),
        }
        if self.val_accuracy is not None:
            tensors["val_accuracy"] = _number(self.val_accuracy)
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Returns what `to_tensors` wrote down; UserError if something is missing."""
        _require("a Tip-Adapter", tensors, ("keys", "values", "alpha", "beta"))
        return cls(
            tensors["keys"],
            tensors["values"],
            tensors["alpha"].item(),
            tensors["beta"].item(),
            tensors["val_accuracy"].item() if "val_accuracy" in tensors else None,
        )


def tip_logits(
    features: Tensor,
    text_features: Tensor,
    logit_scale: float | Tensor,
    keys: Tensor,
    values: Tensor,
    alpha: float,
    beta: float,
) -> Tensor:
    """Returns logits (batch, classes): zero-shot, plus the votes of the cached images.

    `s f text^T + alpha exp(-beta (1 - f keys^T)) values`.

    Args:
        features: (batch, dim), L2-normalised.
        text_features: zero-shot classifier, (classes, dim), L2-normalised.
        logit_scale: s; 100 in the authors' code.
        keys: (shots, dim).
        values: one-hot labels of the keys, (shots, classes).
        alpha: residual ratio.
        beta: sharpness.
    """
    zero_shot = logit_scale * (features @ text_features.T)  # (batch, classes)
    return zero_shot + alpha * _votes(features @ keys.T, values, beta)


def _votes(similarity: Tensor, values: Tensor, beta: float) -> Tensor:
    """Returns summed affinities per class (batch, classes) from cosines (batch, shots)."""
    return torch.exp(-beta * (1 - similarity)) @ values


def fit_tip_adapter(
    train_features: Tensor,
    train_labels: Tensor,
    val_features: Tensor,
    val_labels: Tensor,
    text_features: Tensor,
    logit_scale: float,
    *,
    fine_tune: bool,
    generator: torch.Generator,
    epochs: int = 20,
    learning_rate: float = 1e-3,
    batch_size: int = 256,
) -> TipAdapter:
    """Returns a cache of the training images, alpha and beta chosen on validation images.

    Without fine-tuning the keys are the training features. With it they are trained at
    alpha = 1 and beta = 5.5 (AdamW with eps 1e-4, cosine over all steps, last epoch kept).
    Then the alpha of 0.1, 0.2, ..., 3 and the beta of 0.1, 0.4, ..., 7 with the best
    validation accuracy are kept, of equally good ones the smallest beta, then the smallest
    alpha. Without validation images they stay at 1 and 5.5.

    Differences from the authors' code: the grid is coarser (theirs has 20 x 200 values); a
    key is the feature of the image itself, not the mean over ten augmented views; and
    fine-tuning sees the same features instead of random crops, so that every training image
    finds its own key. Their code keeps the epoch that is best on the test images; none are
    seen here.

    Args:
        train_features: (shots, dim), L2-normalised.
        train_labels: (shots,), rows of `text_features`.
        val_features: (val images, dim), L2-normalised; may be empty.
        val_labels: (val images,).
        text_features: zero-shot classifier, (classes, dim), L2-normalised; may cover classes
            without training images.
        logit_scale: factor of the zero-shot cosines.
        fine_tune: train the keys (Tip-Adapter-F).
        generator: draws the batches of fine-tuning; a CPU generator.
        epochs: passes of fine-tuning over the training images.
        learning_rate: AdamW's peak rate.
        batch_size: images per step.

    Raises:
        UserError: when the loss of fine-tuning is no longer finite.

    Source: Zhang et al., ECCV 2022, arXiv 2207.09519, and the authors' public code.
    """
    values = F.one_hot(train_labels, len(text_features)).to(train_features.dtype)
    keys = train_features.clone()
    if fine_tune:
        zero_shot = logit_scale * (train_features @ text_features.T)  # (shots, classes)
        keys = _tuned_keys(
            keys, train_labels, values, zero_shot, generator, epochs, learning_rate, batch_size
        )
    if len(val_labels) == 0:
        return TipAdapter(keys, values, DEFAULT_ALPHA, DEFAULT_BETA, None)
    best = (-1.0, DEFAULT_ALPHA, DEFAULT_BETA)  # accuracy, alpha, beta
    zero_shot = logit_scale * (val_features @ text_features.T)  # (val images, classes)
    similarity = val_features @ keys.T  # (val images, shots)
    for beta in TIP_BETAS:
        votes = _votes(similarity, values, beta)
        for alpha in TIP_ALPHAS:
            accuracy = _accuracy(zero_shot + alpha * votes, val_labels)
            if accuracy > best[0]:
                best = (accuracy, alpha, beta)
    accuracy, alpha, beta = best
    return TipAdapter(keys, values, alpha, beta, accuracy)


@torch.enable_grad()
def _tuned_keys(
    features: Tensor,
    labels: Tensor,
    values: Tensor,
    zero_shot: Tensor,
    generator: torch.Generator,
    epochs: int,
    learning_rate: float,
    batch_size: int,
) -> Tensor:
    """Returns keys (shots, dim) trained from the features; they are not renormalised."""
    keys = features.clone().requires_grad_()
    optimizer = torch.optim.AdamW([keys], learning_rate, eps=1e-4)
    num_steps = epochs * math.ceil(len(features) / batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for epoch in range(1, epochs + 1):
        order = torch.randperm(len(features), generator=generator)
        for step, chosen in enumerate(order.split(batch_size), start=1):
            votes = _votes(features[chosen] @ keys.T, values, DEFAULT_BETA)  # (batch, classes)
            logits = zero_shot[chosen] + DEFAULT_ALPHA * votes
            loss = classification_loss(logits, labels[chosen])
            if not torch.isfinite(loss):
                raise UserError(
                    f"The loss of Tip-Adapter's keys is no longer a finite number in epoch "
                    f"{epoch}, step {step}. Use a smaller learning rate (0.001 in the paper)."
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    return keys.detach()


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    """Returns the share of right predictions in percent."""
    return 100.0 * int((logits.argmax(dim=-1) == labels).sum()) / len(labels)


def _number(value: float) -> Tensor:
    """Returns a 0-d tensor that gives the same number back."""
    return torch.tensor(value, dtype=torch.float64)


def _require(kind: str, tensors: Mapping[str, Tensor], names: Iterable[str]) -> None:
    """Raises UserError if one of the names is missing."""
    missing = [name for name in names if name not in tensors]
    if missing:
        raise UserError(
            f"These weights are not those of {kind}: {', '.join(missing)} missing, got "
            f"{', '.join(sorted(tensors)) or 'nothing'}. Train the run again."
        )
