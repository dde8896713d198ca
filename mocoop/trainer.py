"""One training loop over cached image features; it yields records and prints nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.losses import classification_loss, gating_loss, text_supervision_loss
from mocoop.model import PromptMixture
from mocoop.packing import ClassTokens
from mocoop.router import guide_target, routing_entropy
from mocoop.text import TextTower


@dataclass(frozen=True)
class TrainingData:
    """What a model learns from; labels run from 0 over the trained classes."""

    train_features: Tensor  # (images, views, dim)
    train_labels: Tensor  # (images,)
    val_features: Tensor  # (images, dim)
    val_labels: Tensor  # (images,)
    class_names: tuple[str, ...]  # names in the text loss: the trained ones first
    num_trained: int  # classes that have images
    prototypes: Tensor  # (experts, len(class_names), dim)

    def to(self, device: torch.device) -> TrainingData:
        """Returns the same data on a device."""
        return TrainingData(
            self.train_features.to(device),
            self.train_labels.to(device),
            self.val_features.to(device),
            self.val_labels.to(device),
            self.class_names,
            self.num_trained,
            self.prototypes.to(device),
        )


@dataclass(frozen=True)
class EpochRecord:
    """What is known after an epoch; epoch 0 is before training. Accuracies in percent."""

    epoch: int
    losses: dict[str, float]
    """Mean over the epoch's steps: total, classification, text, gate (those in use)."""
    train_accuracy: float | None
    """On the views trained on, while training; None for epoch 0."""
    val_accuracy: float | None
    """On the few-shot validation images; None where there are none."""
    expert_usage: list[float] = field(default_factory=list)
    """Mean mixture weight of each expert on the validation (else training) images."""
    routing_entropy: float = 0.0
    """Mean entropy of the router's softmax over all experts there, in nats."""
    learning_rate: float = 0.0
    seconds: float = 0.0


def fit(
    model: PromptMixture,
    tower: TextTower,
    data: TrainingData,
    config: TrainConfig,
    generator: torch.Generator,
) -> Iterator[EpochRecord]:
    """Trains the model in place and yields a record before training and after each epoch.

    Args:
        model: the untrained model, on the data's device.
        tower: the frozen text tower.
        data: features and labels.
        config: the run's settings.
        generator: draws batches and views; a CPU generator.

    Raises:
        UserError: when a loss is no longer finite.
    """
    classes = ClassTokens.of(tower, data.class_names)
    yield _record(0, model, tower, classes, data, {}, None, 0.0, 0.0)
    if config.epochs == 0:
        return
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    router = [] if model.gate is None else list(model.gate.parameters())
    others = [p for p in learnt if all(p is not q for q in router)]
    optimizer = torch.optim.SGD(
        [{"params": others, "scale": 1.0}, {"params": router, "scale": config.gate_rate}],
        config.learning_rate,
        config.momentum,
        weight_decay=config.weight_decay,
    )
    num_images, num_views = data.train_features.shape[:2]
    for epoch in range(1, config.epochs + 1):
        started = time.perf_counter()
        rate = learning_rate(epoch, config)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        totals: dict[str, float] = {}
        correct, steps = 0, 0
        order = torch.randperm(num_images, generator=generator)
        for chosen in order.split(config.batch_size):
            view = torch.randint(num_views, (len(chosen),), generator=generator)
            features = data.train_features[chosen, view]  # (batch, dim)
            labels = data.train_labels[chosen]
            losses, logits = step_losses(model, tower, classes, features, labels, data, config)
            _check_finite(losses, epoch, steps + 1)
            optimizer.zero_grad(set_to_none=True)
            losses["total"].backward()
            if config.clip_norm > 0:
                torch.nn.utils.clip_grad_norm_(learnt, config.clip_norm)
            optimizer.step()
            for name, loss in losses.items():
                totals[name] = totals.get(name, 0.0) + loss.item()
            correct += int((logits.argmax(dim=-1) == labels).sum())
            steps += 1
        means = {name: total / steps for name, total in totals.items()}
        accuracy = 100.0 * correct / num_images
        spent = time.perf_counter() - started
        yield _record(epoch, model, tower, classes, data, means, accuracy, rate, spent)


def step_losses(
    model: PromptMixture,
    tower: TextTower,
    classes: ClassTokens,
    features: Tensor,
    labels: Tensor,
    data: TrainingData,
    config: TrainConfig,
) -> tuple[dict[str, Tensor], Tensor]:
    """Returns the losses of one batch by name, `total` their weighted sum, and the logits.

    Args:
        model: the model.
        tower: the frozen text tower.
        classes: tokens of `data.class_names`.
        features: (batch, dim), L2-normalised.
        labels: (batch,).
        data: for prototypes and the number of trained classes.
        config: weights and temperatures of the losses.

    Returns:
        The losses (scalars) and the mixed logits (batch, trained classes).
    """
    soft = model.text_features(tower, classes)  # (experts, classes, dim)
    mixture = model(features, soft[:, : data.num_trained])
    losses = {"classification": classification_loss(mixture.logits, labels)}
    total = losses["classification"]
    if config.text_weight > 0:
        scale = model.logit_scale if config.text_scale == "logit" else 1.0
        losses["text"] = text_supervision_loss(soft, data.prototypes, scale)
        total = total + config.text_weight * losses["text"]
    if config.gate_weight > 0 and model.gate is not None:
        target = guide_target(features, data.prototypes, labels, config.num_chosen)
        losses["gate"] = gating_loss(mixture.scores, target)
        total = total + config.gate_weight * losses["gate"]
    return losses | {"total": total}, mixture.logits


def learning_rate(epoch: int, config: TrainConfig) -> float:
    """Returns the rate of an epoch (1-based): constant warm-up, then CoOp's cosine.

    As in CoOp, the cosine spans all epochs but starts after the warm-up, so that it does not
    quite reach zero.
    """
    if epoch <= config.warmup_epochs and config.epochs > config.warmup_epochs:
        return config.warmup_rate
    done = epoch - 1 - min(config.warmup_epochs, config.epochs - 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * max(done, 0) / config.epochs))


@torch.no_grad()
def accuracy_of(logits: Tensor, labels: Tensor) -> float:
    """Returns the share of right predictions in percent."""
    return 100.0 * (logits.argmax(dim=-1) == labels).float().mean().item()


@torch.no_grad()
def _record(
    epoch: int,
    model: PromptMixture,
    tower: TextTower,
    classes: ClassTokens,
    data: TrainingData,
    losses: dict[str, float],
    train_accuracy: float | None,
    rate: float,
    seconds: float,
) -> EpochRecord:
    """Returns the epoch's record with the validation images' accuracy and routing."""
    has_val = len(data.val_labels) > 0
    features = data.val_features if has_val else data.train_features[:, 0]
    soft = model.text_features(tower, classes)[:, : data.num_trained]
    mixture = model(features, soft)
    return EpochRecord(
        epoch,
        losses,
        train_accuracy,
        accuracy_of(mixture.logits, data.val_labels) if has_val else None,
        mixture.weights.mean(dim=0).tolist(),
        routing_entropy(mixture.scores).mean().item(),
        rate,
        seconds,
    )


def _check_finite(losses: dict[str, Tensor], epoch: int, step: int) -> None:
    bad = [name for name, loss in losses.items() if not torch.isfinite(loss)]
    if bad:
        raise UserError(
            f"The {bad[0]} loss is no longer a finite number in epoch {epoch}, step {step}. Use a "
            "smaller learning rate, or clip the gradient (clip_norm 1)."
        )
