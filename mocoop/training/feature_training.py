"""Trains a few tensors in epochs on cached image features: for TaskRes and CLIP-Adapter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mocoop.classifiers.base import accuracy_of
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.model.losses import classification_loss
from mocoop.training.loop import EpochRecord, batches_of
from mocoop.training.optimizer import learning_rate


@dataclass(frozen=True)
class FeatureData:
    """Image features and labels; label 0 is the first trained class."""

    train: Tensor  # (images, views, dim), L2-normalised; view 0 is the centre crop
    train_labels: Tensor  # (images,)
    val: Tensor  # (val images, dim), L2-normalised; may be empty
    val_labels: Tensor  # (val images,)


def train_on_features(
    learned: Sequence[Tensor],
    logits_of: Callable[[Tensor], Tensor],
    data: FeatureData,
    config: TrainConfig,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> Iterator[EpochRecord]:
    """Trains tensors in place with cross-entropy; yields a record before and after each epoch.

    The last epoch is kept. Batches, views, rates and clipping follow the settings, as in the
    training of prompts.

    Args:
        learned: leaf tensors that require gradients.
        logits_of: returns logits (batch, trained classes) of image features (batch, dim).
        data: images and labels, on the device of the tensors.
        config: the run's settings.
        optimizer: of the tensors.
        generator: draws batches and views; a CPU generator.

    Raises:
        UserError: if the loss becomes infinite or NaN.
    """
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
                torch.nn.utils.clip_grad_norm_(learned, config.clip_norm)
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
