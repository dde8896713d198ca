"""The training loop; it yields records and prints nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest

import torch
from torch import Tensor

from mocoop.classifiers.base import accuracy_of
from mocoop.clip.text_tower import TextTower
from mocoop.config import TrainConfig
from mocoop.model.mixed_logits import Mixture
from mocoop.model.mixture import PromptMixture, predict
from mocoop.model.router import routing_entropy
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.batches import epoch_batches, step_counts
from mocoop.training.data import TrainingData
from mocoop.training.optimizer import PromptOptimizer
from mocoop.training.step_losses import step_losses


@dataclass(frozen=True)
class EpochRecord:
    """Measures after an epoch; epoch 0 is before training. Accuracies are in percent.

    With `aggregation` those of the last epoch are of the aggregated parameters, which are tested.
    """

    epoch: int
    losses: dict[str, float]
    """Mean of each loss in use over the epoch's steps: total, classification, text, gate ..."""
    train_accuracy: float | None
    """Accuracy on the training views during the epoch; None for epoch 0."""
    val_accuracy: float | None
    """Accuracy on the few-shot validation images; None if there are none."""
    expert_usage: list[float] = field(default_factory=list)
    """Mean mixture weight of each expert on the validation images, or on the training images if
    there are none."""
    routing_entropy: float = 0.0
    """Mean entropy of the router's softmax over all experts on the same images, in nats."""
    learning_rate: float = 0.0
    seconds: float = 0.0
    zero_shot: float | None = None
    """Accuracy of the data set's zero-shot template on the validation images; only in the record
    of epoch 0, and None if there are none, and in records of earlier versions."""
    moved: dict[str, list[list[float]]] = field(default_factory=dict)
    """Tower → expert → block → how far its learned tokens are from their start
    (`moved_by_block`); empty without learned tokens in blocks."""


def fit(
    model: PromptMixture,
    tower: TextTower,
    data: TrainingData,
    config: TrainConfig,
    generator: torch.Generator,
    optimizer: PromptOptimizer | None = None,
    done: int = 0,
) -> Iterator[EpochRecord]:
    """Trains the model in place and yields a record before training and after each epoch.

    Args:
        model: the untrained model, on the data's device.
        tower: the frozen text tower.
        data: images, labels and hard prompts.
        config: the run's settings.
        generator: draws batches and views; a CPU generator.
        optimizer: the model's optimiser; a new one by default.
        done: number of epochs that model, optimiser and generator have already been through;
            training continues with the next one.

    Raises:
        DivergedError: when a loss is no longer finite; the model then holds the last finite
            weights.
    """
    classes = ClassTokens.from_names(tower.tokens, data.class_names)
    fixed = fixed_texts(model, tower, classes)
    if done == 0:
        yield _record(0, _predict_monitored(model, tower, classes, data, fixed), data)
    if done >= config.epochs:
        return
    optimizer = optimizer or PromptOptimizer(model, config)
    counts = step_counts(len(data.train), data.num_trained, config)
    for epoch in range(done + 1, config.epochs + 1):
        started = time.perf_counter()
        rate = optimizer.set_epoch(epoch)
        totals: dict[str, float] = {}
        correct, steps, seen = 0, 0, 0
        batches = epoch_batches(len(data.train), counts, epoch, config, generator)
        data.train.prefetch(*batches[0])
        for (chosen, drawn), upcoming in zip_longest(batches, batches[1:]):
            if upcoming is not None:
                data.train.prefetch(*upcoming)
            features = data.train.batch(model, chosen, drawn, generator)  # (batch, dim)
            labels = data.train_labels[chosen]
            losses, logits = step_losses(
                model, tower, classes, features, labels, data, config, generator, fixed
            )
            optimizer.set_step(sum(counts[: epoch - 1]) + steps, sum(counts))
            steps, seen = steps + 1, seen + len(chosen)
            optimizer.step(losses, epoch, steps)
            for name, loss in losses.items():
                totals[name] = totals.get(name, 0.0) + loss.item()
            correct += int((logits.argmax(dim=-1) == labels).sum())
        optimizer.end_epoch(epoch)
        means = {name: total / steps for name, total in totals.items()}
        accuracy = 100.0 * correct / seen
        seconds = time.perf_counter() - started
        monitored = _predict_monitored(model, tower, classes, data, fixed)
        optimizer.check(monitored.logits, epoch)
        yield _record(epoch, monitored, data, means, accuracy, rate, seconds)


@torch.no_grad()
def fixed_texts(model: PromptMixture, tower: TextTower, classes: ClassTokens) -> Tensor | None:
    """Returns the text features (experts, classes, dim) if no step changes them; else None."""
    return None if model.tunes_texts else model.text_features(tower, classes)


def _predict_monitored(
    model: PromptMixture,
    tower: TextTower,
    classes: ClassTokens,
    data: TrainingData,
    fixed: Tensor | None,
) -> Mixture:
    """Returns predictions for the validation images, or for the training images without any."""
    images = data.val if len(data.val_labels) > 0 else data.train
    features, count = images.plain(model), data.num_trained
    if fixed is not None:
        with torch.no_grad():
            return model(features, fixed[:, :count])
    return predict(model, tower, classes.first(count), features)


def _record(
    epoch: int,
    monitored: Mixture,
    data: TrainingData,
    losses: dict[str, float] | None = None,
    train_accuracy: float | None = None,
    rate: float = 0.0,
    seconds: float = 0.0,
) -> EpochRecord:
    """Returns an epoch's record with accuracy and routing of the monitored images."""
    has_val = len(data.val_labels) > 0
    return EpochRecord(
        epoch,
        losses or {},
        train_accuracy,
        accuracy_of(monitored.logits, data.val_labels) if has_val else None,
        monitored.weights.mean(dim=0).tolist(),
        routing_entropy(monitored.scores).mean().item(),
        rate,
        seconds,
    )
