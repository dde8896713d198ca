"""The losses of one training step, by name, with their weighted sum."""

from __future__ import annotations

import torch
from torch import Tensor

from mocoop.clip.text_tower import TextTower
from mocoop.clip.tuned_tower import routed_features, seen_features
from mocoop.config import TrainConfig
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
from mocoop.model.mixed_logits import Mixture
from mocoop.model.mixture import PromptMixture
from mocoop.model.router import guide_scores, guide_target
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.data import TrainingData


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
