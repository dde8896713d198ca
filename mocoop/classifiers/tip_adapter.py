"""Tip-Adapter: the zero-shot classifier plus a cache of the few-shot images that votes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.classifiers.base import SingleClassifier, as_tensor, require_tensors
from mocoop.classifiers.tip_search import OWN_SEARCH, TipSearch, best_mixture
from mocoop.errors import UserError
from mocoop.model.losses import classification_loss


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
    search: TipSearch = OWN_SEARCH,
    crops: Tensor | None = None,
    epochs: int = 20,
    learning_rate: float = 1e-3,
    batch_size: int = 256,
) -> TipAdapter:
    """Returns a cache of the training images, with alpha and beta chosen on validation images.

    Without fine-tuning, the keys are the given features. With fine-tuning, they are trained with
    the search's first alpha and beta (AdamW with eps 1e-4, cosine schedule over all steps, last
    epoch kept). Then alpha and beta are those of the search with the best validation accuracy.
    Of equally good pairs, the one with the smallest beta, then the smallest alpha is kept.
    Without validation images the search's first values stay.

    The authors' code keeps the epoch that is best on the test images; here the test images are
    not used.

    Args:
        train_features: the keys before training, (shots, dim), L2-normalised.
        train_labels: (shots,), rows of `text_features`.
        val_features: (val images, dim), L2-normalised; may be empty.
        val_labels: (val images,).
        text_features: zero-shot classifier, (classes, dim), L2-normalised; classes without
            training images are allowed.
        logit_scale: factor of the zero-shot cosines.
        fine_tune: whether to train the keys (Tip-Adapter-F).
        generator: draws the batches of fine-tuning; a CPU generator.
        search: the values of alpha and beta, `OWN_SEARCH` or `published_search`.
        crops: the images of each epoch of fine-tuning, (epochs, shots, dim), L2-normalised; if
            None, every epoch has the keys' own features.
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
        images = train_features.expand(epochs, -1, -1) if crops is None else crops
        settings = (search, generator, learning_rate, batch_size)
        keys = _tuned_keys(keys, images, train_labels, text_features, logit_scale, *settings)
    if len(val_labels) == 0:
        return TipAdapter(keys, values, search.alpha, search.beta, None)
    alpha, beta, accuracy = best_mixture(
        logit_scale * (val_features @ text_features.T),
        val_features @ keys.T,
        train_labels,
        val_labels,
        search,
    )
    return TipAdapter(keys, values, alpha, beta, accuracy)


@torch.enable_grad()
def _tuned_keys(
    keys: Tensor,
    images: Tensor,
    labels: Tensor,
    text_features: Tensor,
    logit_scale: float,
    search: TipSearch,
    generator: torch.Generator,
    learning_rate: float,
    batch_size: int,
) -> Tensor:
    """Returns trained keys (shots, dim); they are not normalised.

    Args:
        keys: where they start, (shots, dim).
        images: features of the training images in each epoch, (epochs, shots, dim).
        labels: (shots,).
        text_features: (classes, dim).
        logit_scale: factor of the zero-shot cosines.
        search: its first alpha and beta.
        generator: draws the batches; a CPU generator.
        learning_rate: AdamW's largest learning rate.
        batch_size: images per step.
    """
    keys = keys.clone().requires_grad_()
    values = F.one_hot(labels, len(text_features)).to(keys.dtype)
    optimizer = torch.optim.AdamW([keys], learning_rate, eps=1e-4)
    num_steps = len(images) * math.ceil(len(keys) / batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for epoch, features in enumerate(images, start=1):
        zero_shot = logit_scale * (features @ text_features.T)  # (shots, classes)
        order = torch.randperm(len(features), generator=generator).to(features.device)
        for step, chosen in enumerate(order.split(batch_size), start=1):
            votes = _votes(features[chosen] @ keys.T, values, search.beta)  # (batch, classes)
            logits = zero_shot[chosen] + search.alpha * votes
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
