"""Checks of the model of a new training, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mocoop.clip.backbone import Backbone
from mocoop.config import TrainConfig
from mocoop.config_checks import coupled_tokens
from mocoop.errors import UserError
from mocoop.method_record import Method
from mocoop.methods import METHODS
from mocoop.model.build import build_model
from mocoop.model.learnable import check_learns
from mocoop.prompt_encoder.layout import ClassTokens, filled_tokens
from mocoop.templates import Groups

# Settings of trainings that methods on image features do without, but for those that name them.
_OF_TRAININGS = ("views", "optimizer", "schedule_by", "steps_per_shot")


def check_model(
    config: TrainConfig, backbone: Backbone, groups: Groups, names: Sequence[str]
) -> None:
    """Raises UserError for settings that do not fit the method or the CLIP, or learn nothing.

    The model is built for it, with a single class, which takes no time.

    Args:
        config: the run's settings.
        backbone: the frozen CLIP.
        groups: one expert each, as `expert_groups` gives them.
        names: of the classes; all prompts have to be short enough for them.
    """
    tower = backbone.text
    longest = [max(names, key=lambda name: len(tower.tokens.encode(name)))]
    for templates in groups.values():
        for template in templates:
            filled_tokens(tower.tokens, template, longest)
    method = METHODS[config.method]
    if not method.learns_prompts:
        _check_no_parts(config)
    if not method.is_mixture:
        _check_one_group(config, groups)
    if method.fits_image_features:
        _check_on_features(config, method)
        return
    model = build_model(config, backbone, groups, torch.Generator().manual_seed(config.seed), 1)
    if method.learns_prompts:
        check_learns(model, config, groups)
        # Without learned_tokens the words before the name decide; older runs can still be read.
        learned = model.prompts.before[0].shape[-2]
        if config.coupling and learned != config.vision_prompts:
            raise coupled_tokens(config.vision_prompts, learned)
        model.prompts.pack(tower, ClassTokens.from_names(tower.tokens, longest))


def _check_on_features(config: TrainConfig, method: Method) -> None:
    """Raises UserError for settings that a method on image features would ignore."""
    if not config.image_cache:
        crops = next((name for name in ("views", "key_views") if name in method.fitted_with), "")
        raise UserError(
            f"{method.label} learns on cached image features: turn image_cache on and augment off."
            + (f" For random crops, set {crops} to more than 1." if crops else "")
        )
    for name in _OF_TRAININGS:
        usual = getattr(TrainConfig, name)
        if name not in method.fitted_with and getattr(config, name) != usual:
            raise UserError(
                f"{method.label} does not use {name}, which is {getattr(config, name)}: leave it "
                f"out ({usual}), or choose a method that learns prompts, such as coop."
            )


def _check_one_group(config: TrainConfig, groups: Groups) -> None:
    """Raises UserError for several groups, but for a router that has something to learn from.

    One expert per image gives the router no gradient but that of the gating loss: without it the
    router's random first values would choose among the groups.
    """
    if len(groups) > 1 and config.num_chosen == 1 and config.gate_weight == 0:
        raise UserError(
            f"{config.method} has one prompt, but there are {len(groups)} groups of templates "
            f"({', '.join(groups)}). Give one group, with all templates that it should use, or "
            "choose a mixture such as mocoop, which has a prompt for each group."
        )


def _check_no_parts(config: TrainConfig) -> None:
    """Raises UserError if a method without learned prompts should learn parts of the towers.

    It would ignore them, or answer with their random first values. Runs of earlier versions may
    have such settings: they can still be read.
    """
    parts = {
        "tune_layer_norms": config.tune_layer_norms,
        "vision_depth": config.vision_depth > 0,
        "expert_vision_depth": config.expert_vision_depth > 0,
        "lora_rank": config.lora_rank > 0,
        "conditional": config.conditional,
        "text_depth": config.text_depth > 1,
        "text_insertion": bool(config.text_keys),
    }
    for name, used in parts.items():
        if used:
            raise UserError(
                f"{config.method} learns nothing in CLIP's towers, so {name} "
                f"({getattr(config, name)}) has no meaning there. Leave it out, or choose a "
                "method that learns prompts, such as coop."
            )
