"""Tip-Adapter: the zero-shot classifier plus a cache of the few-shot images that votes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.classifiers.base import SingleClassifier, accuracy_of, as_tensor, require_tensors
from mocoop.errors import UserError
from mocoop.model.losses import classification_loss

DEFAULT_ALPHA = 1.0
DEFAULT_BETA = 5.5
TIP_ALPHAS = tuple(round(0.1 + 0.1 * step, 1) for step in range(30))  # 0.1 to 3
TIP_BETAS = tuple(round(0.1 + 0.3 * step, 1) for step in range(24))  # 0.1 to 7


@dataclass(frozen=True)
class TipAdapter:
    """A cache of the few-shot images. Their votes are added to the zero-shot logits."""

    keys: Tensor = field(repr=False)  # (shots, dim)
    values: Tensor = field(repr=False)  # (shots, classes), one-hot
    alpha: float
    """Residual ratio: the weight of the cache relative to the zero-shot logits."""
    beta: float
    """Sharpness: the larger it is, the less dissimilar images count."""
    val_accuracy: float | None
    """Accuracy on the validation images in percent; None if there are none."""

    def to_tensors(self) -> dict[str, Tensor]:
        """Returns all fields as named tensors; numbers are 0-d float64, None is left out."""
        tensors = {
            "keys": self.keys.contiguous(),
            "values": self.values.contiguous(),
            "alpha": as_tensor(self.alpha),
            "beta": as_tensor(self.beta),
        }
        if self.val_accuracy is not None:
            tensors["val_accuracy"] = as_tensor(self.val_accuracy)
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Returns the adapter that `to_tensors` described.

        Raises:
            UserError: if a tensor is missing.
        """
        require_tensors("a Tip-Adapter", tensors, ("keys", "values", "alpha", "beta"))
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
    """Returns logits (batch, classes): zero-shot logits plus the votes of the cached images.

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
    """Returns a cache of the training images, with alpha and beta chosen on validation images.

    Without fine-tuning, the keys are the training features. With fine-tuning, they are trained
    with alpha = 1 and beta = 5.5 (AdamW with eps 1e-4, cosine schedule over all steps, last
    epoch kept). Then alpha is chosen from 0.1, 0.2, ..., 3 and beta from 0.1, 0.4, ..., 7 by
    validation accuracy. Of equally good pairs, the one with the smallest beta, then the
    smallest alpha is kept. Without validation images they stay at 1 and 5.5.

    Differences from the authors' code: The grid is coarser (theirs has 20 x 200 values). A key
    is the feature of the image itself, not the mean over ten augmented views. Fine-tuning uses
    the same features in every epoch instead of random crops, so every training image meets its
    own key. The authors' code keeps the epoch that is best on the test images; here the test
    images are not used.

    Args:
        train_features: (shots, dim), L2-normalised.
        train_labels: (shots,), rows of `text_features`.
        val_features: (val images, dim), L2-normalised; may be empty.
        val_labels: (val images,).
        text_features: zero-shot classifier, (classes, dim), L2-normalised; classes without
            training images are allowed.
        logit_scale: factor of the zero-shot cosines.
        fine_tune: whether to train the keys (Tip-Adapter-F).
        generator: draws the batches of fine-tuning; a CPU generator.
        epochs: passes of fine-tuning over the training images.
        learning_rate: AdamW's largest learning rate.
        batch_size: images per step.

    Raises:
        UserError: if the loss of fine-tuning becomes infinite or NaN.

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
            accuracy = accuracy_of(zero_shot + alpha * votes, val_labels)
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
    """Returns keys (shots, dim), trained starting from the features; they are not normalised."""
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
                    f"The loss of Tip-Adapter's keys became infinite or NaN in epoch {epoch}, "
                    f"step {step}. Use a smaller learning rate (0.001 in the paper)."
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    return keys.detach()


@dataclass(frozen=True)
class TipClassifier(SingleClassifier):
    """The classifier of Tip-Adapter: zero-shot logits plus a cache of the training images."""

    adapter: TipAdapter = field(repr=False)
    text: Tensor = field(repr=False)  # (classes, dim), the untrained prompt's features
    logit_scale: float

    def subset(self, labels: Sequence[int]) -> TipClassifier:
        """Returns a classifier of some of the classes; the cache votes only for them."""
        kept = list(labels)
        adapter = replace(self.adapter, values=self.adapter.values[:, kept])
        return replace(
            self, class_names=self.names_of(labels), adapter=adapter, text=self.text[kept]
        )

    def logits(self, image_features: Tensor) -> Tensor:
        """Returns logits (batch, classes) of L2-normalised image features (batch, dim)."""
        cache = self.adapter
        return tip_logits(
            image_features,
            self.text,
            self.logit_scale,
            cache.keys,
            cache.values,
            cache.alpha,
            cache.beta,
        )
