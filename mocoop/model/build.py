"""Builds the model of a run from its settings: the only place where its parts are put together."""

from __future__ import annotations

import torch
from torch import nn

from mocoop.clip.backbone import Backbone
from mocoop.clip.device import tower_dtype
from mocoop.clip.image_layer_norms import ImageNorms
from mocoop.config import TrainConfig
from mocoop.model.image_shift import image_shift
from mocoop.model.low_rank_updates import low_rank_updates
from mocoop.model.mixture import PromptMixture
from mocoop.model.soft_prompts import SoftPrompts, linear, prompt_starts, text_keys
from mocoop.model.vision_prompts import (
    vision_prompts,
)
from mocoop.templates import Groups


def build_model(
    config: TrainConfig,
    backbone: Backbone,
    groups: Groups,
    generator: torch.Generator,
    num_classes: int | None = None,
) -> PromptMixture:
    """Returns an untrained model on the backbone's device; models are built only here.

    Args:
        config: the run's settings.
        backbone: the frozen CLIP.
        groups: groups of templates, one expert each, from `expert_groups`.
        generator: draws the initial weights; a CPU generator.
        num_classes: the number of trained classes; needed for class-specific contexts.

    Raises:
        UserError: if `num_chosen` is larger than the number of experts, or if the image tower
            lacks the LayerNorms to train.
    """
    config.check_num_chosen(len(groups))
    tower = backbone.text
    starts = prompt_starts(config, tower, groups, generator)
    keys = text_keys(config, tower, generator)
    prompts = SoftPrompts(starts, num_classes if config.class_context else None, keys)
    gate = linear(tower.dim, len(groups), generator) if len(groups) > 1 else None
    model = PromptMixture(
        config,
        prompts,
        gate,
        nn.Parameter(torch.zeros(tower.dim)) if config.correction else None,
        backbone.logit_scale,
        config.num_chosen,
        image_shift(config, tower.dim, tower.width, len(groups), generator),
        ImageNorms.from_tower(backbone.model.visual) if config.tune_layer_norms else None,
        vision_prompts(config, backbone.model.visual, tower.width, len(groups), generator),
        low_rank_updates(config, backbone.model.visual, tower, generator),
        tower_dtype(config.precision, backbone.device),
    )
    return model.to(backbone.device)
