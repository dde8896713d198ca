"""The training loop; it yields records and prints nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest

import torch
from torch import Tensor

from mocoop.classifiers.base import accuracy_of
from mocoop.clip.text_tower import TextTower
from mocoop.clip.tuned_tower import routed_features, seen_features
from mocoop.config import TrainConfig
from mocoop.model.hard_prompts import HardText
from mocoop.model.losses import (
    anchor_loss,
    classification_loss,
    feature_consistency_loss,
    gating_loss,
    general_loss,
    logit_consistency_loss,
    noisy_targets,
    text_supervision_loss,
)
from mocoop.model.mixture import Mixture, PromptMixture, predict
from mocoop.model.router import guide_scores, guide_target, routing_entropy
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.shots import ALL_SHOTS
from mocoop.training.image_sources import ImageSource
from mocoop.training.optimizer import PromptOptimizer


@dataclass(frozen=True)
class TrainingData:
    """Images, labels and hard prompts of a training; label 0 is the first trained class."""

    train: ImageSource
    train_labels: Tensor  # (images,)
    val: ImageSource
    val_labels: Tensor  # (images,)
    class_names: tuple[str, ...]  # names in the text loss, trained classes first
    num_trained: int  # number of classes with images
    hard: HardText

    def to(self, device: torch.device) -> TrainingData:
        """Returns the same data on a device."""
        return TrainingData(
            self.train.to(device),
            self.train_labels.to(device),
            self.val.to(device),
            self.val_labels.to(device),
            self.class_names,
            self.num_trained,
            self.hard.to(device),
        )


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


def batches_of(
    num_images: int, config: TrainConfig, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Returns the image indices of each step of an epoch, in random order.

    With `drop_last` a last batch that is not full is left out, as in Dassl, on which CoOp's code
    is built. If there are fewer images than one batch holds, they are one batch all the same.

    Args:
        num_images: number of training images.
        config: gives `batch_size` and `drop_last`.
        generator: draws the order; a CPU generator.
    """
    batches = torch.randperm(num_images, generator=generator).split(config.batch_size)
    dropped = config.drop_last and len(batches) > 1 and len(batches[-1]) < config.batch_size
    return batches[:-1] if dropped else batches


def step_counts(num_images: int, num_classes: int, config: TrainConfig) -> list[int]:
    """Returns the number of steps of each epoch.

    With `steps_per_shot` all epochs together have that many steps per training image of a class.

    Args:
        num_images: number of training images.
        num_classes: number of trained classes.
        config: the run's settings.
    """
    if not config.steps_per_shot:
        generator = torch.Generator().manual_seed(0)
        return [len(batches_of(num_images, config, generator))] * config.epochs
    per_class = math.ceil(num_images / num_classes)
    total = config.steps_per_shot * (per_class if config.shots == ALL_SHOTS else config.shots)
    ends = [total * epoch // config.epochs for epoch in range(config.epochs + 1)]
    return [end - start for start, end in pairwise(ends)]


def epoch_batches(
    num_images: int,
    counts: Sequence[int],
    epoch: int,
    config: TrainConfig,
    generator: torch.Generator,
) -> list[tuple[Tensor, int]]:
    """Returns the image indices of each step of an epoch, and the number of the pass over them.

    Every pass over the images has random crops of its own. Without `steps_per_shot` an epoch is
    one pass, with the epoch's number.

    Args:
        num_images: number of training images.
        counts: the number of steps of each epoch, from `step_counts`.
        epoch: the epoch, from 1.
        config: the run's settings.
        generator: draws the order; a CPU generator.
    """
    if not config.steps_per_shot:
        return [(chosen, epoch) for chosen in batches_of(num_images, config, generator)]
    steps: list[tuple[Tensor, int]] = []
    passes = 0
    while len(steps) < counts[epoch - 1]:
        passes += 1
        batches = batches_of(num_images, config, generator)
        most = math.ceil(max(counts) / len(batches))  # passes of an epoch
        steps += [(chosen, (epoch - 1) * most + passes) for chosen in batches]
    return steps[: counts[epoch - 1]]


def step_losses(
    model: PromptMixture,
    tower: TextTower,
    classes: ClassTokens,
    features: Tensor,
    labels: Tensor,
    data: TrainingData,
    config: TrainConfig,
    generator: torch.Generator | None = None,
    fixed: Tensor | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Returns the losses of one batch by name, with their weighted sum as `total`, and the logits.

    Args:
        model: the model.
        tower: the frozen text tower.
        classes: tokens of `data.class_names`.
        features: (batch, dim), L2-normalised; or (batch, 2 dim), from `training_features`.
        labels: (batch,).
        data: gives the hard prompts and the number of trained classes.
        config: weights and temperatures of the losses.
        generator: draws the noise of the text loss and the dropout of low-rank updates; needed
            only with `text_noise`.
        fixed: the text features, from `fixed_texts`; None encodes the prompts.

    Returns:
        The losses (scalars) and the mixed logits (batch, trained classes). `general` (ProGrad)
        is not part of the total: it only changes the direction of the gradient.
    """
    both = features
    if not model.router_sees_frozen:  # then the frozen tower's are for the losses alone
        features = seen_features(features, data.hard.prototypes.shape[-1])
    soft, mixture = _answers(
        model, tower, classes, features, data.num_trained, config, generator, fixed
    )
    losses = {"classification": classification_loss(mixture.logits, labels)}
    total = losses["classification"]
    hard, logit_scale = data.hard, model.logit_scale
    if config.text_weight > 0:
        scale = logit_scale if config.text_scale == "logit" else 1.0
        targets = hard.targets
        if config.text_noise > 0:
            assert generator is not None, "text_noise needs a generator"
            targets = noisy_targets(targets, config.text_noise, generator)
        over_soft = config.text_softmax == "soft"
        losses["text"] = text_supervision_loss(soft, targets, scale, hard.owner, over_soft)
        total = total + config.text_weight * losses["text"]
    if config.anchor_weight > 0:
        losses["anchor"] = anchor_loss(soft, hard.anchors)
        total = total + config.anchor_weight * losses["anchor"]
    consistency = _consistency_losses(soft, mixture.logits, both, data, config, logit_scale)
    for name, loss in consistency.items():
        total = total + getattr(config, name) * loss
    losses |= consistency
    if config.gate_weight > 0 and model.gate is not None:
        guides = soft.detach() if config.gate_target == "soft" else hard.prototypes
        scores = guide_scores(features, guides, labels)
        sharpness = logit_scale if config.gate_target == "scaled" else None
        target = guide_target(scores, config.num_chosen, sharpness)
        losses["gate"] = gating_loss(mixture.scores, target)
        total = total + config.gate_weight * losses["gate"]
    if config.align_gradient:
        untrained = hard.anchors[:, : data.num_trained].mean(dim=0)  # (classes, dim)
        losses["general"] = general_loss(
            mixture.logits,
            logit_scale * seen_features(features, soft.shape[-1]) @ untrained.T,
            config.align_temperature,
        )
    return losses | {"total": total}, mixture.logits


def _consistency_losses(
    soft: Tensor,
    logits: Tensor,
    features: Tensor,
    data: TrainingData,
    config: TrainConfig,
    logit_scale: float,
) -> dict[str, Tensor]:
    """Returns PromptSRC's losses that are in use, by the names of their weights.

    Args:
        soft: (experts, classes, dim).
        logits: (batch, trained classes).
        features: (batch, 2 dim), the frozen tower's behind; (batch, dim) of a frozen tower.
        data: gives the frozen text features.
        config: the weights.
        logit_scale: the CLIP's scale.
    """
    losses: dict[str, Tensor] = {}
    if not (config.compares_images or config.compares_texts):
        return losses
    dim = soft.shape[-1]
    assert features.shape[-1] == 2 * dim or not (config.compares_images and config.tunes_images)
    seen, frozen = seen_features(features, dim), routed_features(features, dim)
    text = data.hard.frozen
    if config.text_consistency > 0:
        assert text is not None
        losses["text_consistency"] = feature_consistency_loss(soft, text)
    if config.image_consistency > 0:
        losses["image_consistency"] = feature_consistency_loss(seen, frozen)
    if config.logit_consistency > 0:
        assert text is not None
        unlearned = logit_scale * frozen @ text[: data.num_trained].T
        losses["logit_consistency"] = logit_consistency_loss(logits, unlearned)
    return losses


def _answers(
    model: PromptMixture,
    tower: TextTower,
    classes: ClassTokens,
    features: Tensor,
    num_trained: int,
    config: TrainConfig,
    generator: torch.Generator | None,
    fixed: Tensor | None,
) -> tuple[Tensor, Mixture]:
    """Returns the text features (experts, classes, dim) of the other losses, and the mixture.

    If images change the contexts, the other losses see the contexts that no image has changed;
    without such losses these are not encoded, and the features are those of no expert.
    """
    if model.shift is None:
        soft = model.text_features(tower, classes, generator) if fixed is None else fixed
        return soft, model(features, soft[:, :num_trained])
    experts = len(model.prompts.before)
    by_soft = config.gate_weight > 0 and config.gate_target == "soft" and model.gate is not None
    share, soft = 0.0, features.new_zeros(0, len(classes.lengths), tower.dim)
    of_texts = max(config.text_weight, config.anchor_weight, config.text_consistency) > 0
    if of_texts or by_soft:
        share = experts / (experts + len(features) * model.num_chosen)
        soft = model.text_features(tower, classes, generator, share)
    first = classes.first(num_trained)
    mixture = model.conditional(tower, first, features, share=1.0 - share, generator=generator)
    return soft, mixture


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
