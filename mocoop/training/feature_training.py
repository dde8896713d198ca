"""Trains a few tensors in epochs on cached image features: for TaskRes and CLIP-Adapter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mocoop.classifiers.base import accuracy_of
from mocoop.classifiers.feature_adapter import adapted_features, new_adapter
from mocoop.classifiers.task_residual import residual_text
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.model.losses import classification_loss
from mocoop.training.batches import batches_of
from mocoop.training.loop import EpochRecord
from mocoop.training.optimizer import learning_rate


@dataclass(frozen=True)
class Learner:
    """What is learned on image features, and how."""

    learned: Sequence[Tensor]
    """Leaf tensors that require gradients."""
    logits_of: Callable[[Tensor], Tensor]
    """Returns logits (batch, trained classes) of image features (batch, dim)."""
    optimizer: torch.optim.Optimizer


def residual_learner(base: Tensor, logit_scale: float, config: TrainConfig) -> Learner:
    """Returns how TaskRes learns: Adam on one vector per class, which starts at zero.

    Args:
        base: raw text features of the trained classes, (classes, dim).
        logit_scale: factor of the cosines.
        config: gives `residual_ratio` and `weight_decay`.
    """
    residual = torch.zeros_like(base, requires_grad=True)

    def logits_of(features: Tensor) -> Tensor:
        text = residual_text(base, residual, config.residual_ratio)
        return logit_scale * (features @ text.T)

    adam = torch.optim.Adam([residual], config.learning_rate, weight_decay=config.weight_decay)
    return Learner((residual,), logits_of, adam)


def adapter_learner(
    text: Tensor, logit_scale: float, config: TrainConfig, generator: torch.Generator
) -> Learner:
    """Returns how CLIP-Adapter learns: SGD on the two layers of its network.

    Args:
        text: features of the trained classes, (classes, dim), L2-normalised.
        logit_scale: factor of the cosines.
        config: gives `residual_ratio`, `momentum` and `weight_decay`.
        generator: draws the first weights; a CPU generator.
    """
    ratio = config.residual_ratio
    first = new_adapter(text.shape[1], generator)
    down, up = (part.to(text.device).requires_grad_() for part in first)

    def logits_of(features: Tensor) -> Tensor:
        return logit_scale * (adapted_features(features, down, up, ratio) @ text.T)

    sgd = torch.optim.SGD(
        [down, up], config.learning_rate, config.momentum, weight_decay=config.weight_decay
    )
    return Learner((down, up), logits_of, sgd)


@dataclass(frozen=True)
class FeatureData:
    """Image features and labels; label 0 is the first trained class."""

    train: Tensor  # (images, views, dim), L2-normalised; view 0 is the centre crop
    train_labels: Tensor  # (images,)
    val: Tensor  # (val images, dim), L2-normalised; may be empty
    val_labels: Tensor  # (val images,)


def train_on_features(
    learner: Learner, data: FeatureData, config: TrainConfig, generator: torch.Generator
) -> Iterator[EpochRecord]:
    """Trains tensors in place with cross-entropy; yields a record before and after each epoch.

    The last epoch is kept. Batches, views, rates and clipping follow the settings, as in the
    training of prompts.

    Args:
        learner: what is learned, and how.
        data: images and labels, on the device of the learned tensors.
        config: the run's settings.
        generator: draws batches and views; a CPU generator.

    Raises:
        UserError: if the loss becomes infinite or NaN.
    """
    logits_of, optimizer = learner.logits_of, learner.optimizer
    yield _record(0, logits_of, data)
    num_images, num_views, _ = data.train.shape
    for epoch in range(1, config.epochs + 1):
        started = time.perf_counter()
        rate = learning_rate(epoch, config)
        for group in optimizer.param_groups:
            group["lr"] = rate
        total, correct, seen = 0.0, 0, 0
        batches = batches_of(num_images, config, generator)
        for number, chosen in enumerate(batches, start=1):
            view = torch.randint(num_views, (len(chosen),), generator=generator)
            labels = data.train_labels[chosen]
            with torch.enable_grad():
                logits = logits_of(data.train[chosen, view])
                loss = classification_loss(logits, labels)
            if not torch.isfinite(loss):
                raise UserError(
                    f"The loss is no longer a finite number in epoch {epoch}, step {number}. Use "
                    f"a smaller learning rate than {config.learning_rate:g}."
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if config.clip_norm > 0:
                torch.nn.utils.clip_grad_norm_(learner.learned, config.clip_norm)
            optimizer.step()
            total += loss.item()
            correct += int((logits.argmax(dim=-1) == labels).sum())
            seen += len(chosen)
        mean, seconds = total / len(batches), time.perf_counter() - started
        losses = {"classification": mean, "total": mean}
        yield _record(epoch, logits_of, data, losses, 100.0 * correct / seen, rate, seconds)


@torch.no_grad()
def _record(
    epoch: int,
    logits_of: Callable[[Tensor], Tensor],
    data: FeatureData,
    losses: dict[str, float] | None = None,
    train_accuracy: float | None = None,
    rate: float = 0.0,
    seconds: float = 0.0,
) -> EpochRecord:
    """Returns an epoch's record, with the accuracy on the validation images if there are any."""
    accuracy = None
    if len(data.val_labels) > 0:
        accuracy = accuracy_of(logits_of(data.val), data.val_labels)
    return EpochRecord(
        epoch,
        losses or {},
        train_accuracy,
        accuracy,
        [1.0],  # there is one expert
        learning_rate=rate,
        seconds=seconds,
    )
