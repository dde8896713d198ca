"""Learned tokens of the image tower, free ones or computed from the text tower's.

Visual prompt tuning: Jia et al., arXiv 2203.12119. The coupling: MaPLe, Khattak et al., arXiv
2210.03117, in which a linear layer per block turns the text tower's learned tokens into those of
the image tower, so that gradients of both sides reach them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from mocoop.clip.backbone import Backbone
from mocoop.clip.image_layer_norms import NORMS, ImageNorms, names_in_tower
from mocoop.clip.late_tokens import LateTokens
from mocoop.clip.low_rank import low_rank_of
from mocoop.clip.prompted_tower import check_can_be_prompted, check_late_depth
from mocoop.clip.tuned_tower import TunedTower
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.model.key_prompts import KeyPrompts, key_tokens_of
from mocoop.model.low_rank_updates import IMAGE, LORA, TEXT, lora_scale, tower_sizes
from mocoop.model.soft_prompts import RANDOM_STD, linear

VISION = "vision."
"""What the names of these parameters begin with in a model."""
COUPLED_TO = ("prompts.before.0", "prompts.deep.0")
"""The text tower's learned tokens, of block 0 and of the later blocks, in a model."""


class VisionPrompts(nn.Module):
    """The image tower's learned tokens in its first blocks; `tuned_tower` computes with them.

    Args:
        depth: the number of blocks that get tokens.
        count: the number of tokens per block.
        width: the image tower's width.
        generator: draws the initial values; a CPU generator.
        text_width: the text tower's width if the tokens are computed from its learned tokens,
            which must be as many in as many blocks; None for free tokens.
        late: experts and last blocks in which each of them has tokens of its own; None without.
    """

    def __init__(
        self,
        depth: int,
        count: int,
        width: int,
        generator: torch.Generator,
        text_width: int | None = None,
        late: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if text_width is None:
            if depth:
                drawn = torch.randn(depth, count, width, generator=generator)
                self.values = nn.Parameter(RANDOM_STD * drawn)
            if late is not None:
                drawn = torch.randn(*late, count, width, generator=generator)
                self.late = nn.Parameter(RANDOM_STD * drawn)
            return
        # The layers of all later blocks start as copies of one.
        layers = [linear(text_width, width, generator) for _ in range(min(depth, 2))]
        for _ in range(2, depth):
            layers.append(linear(text_width, width, generator))
            layers[-1].load_state_dict(layers[1].state_dict())
        self.coupling = nn.ModuleList(layers)


def vision_prompts(
    config: TrainConfig,
    tower: nn.Module,
    text_width: int,
    experts: int,
    generator: torch.Generator,
) -> VisionPrompts | KeyPrompts | None:
    """Returns the untrained tokens that the settings ask for; None if the tower has none.

    Args:
        config: the run's settings.
        tower: the image tower.
        text_width: the text tower's width.
        experts: the number of experts.
        generator: draws the initial values; a CPU generator.

    Raises:
        UserError: for an image tower that takes no tokens, or has too few blocks; for tokens of
            each expert if there is only one.
    """
    check_image_tokens(config, tower, experts)
    if not config.vision_depth and not config.expert_vision_depth:
        return None
    coupled = text_width if config.coupling else None
    width = int(cast(Tensor, tower.class_embedding).shape[-1])
    late = (experts, config.expert_vision_depth) if config.expert_vision_depth else None
    count = config.vision_prompts
    if config.searches_images or config.vision_lengths:
        own = None if late is None else (*late, count)
        return KeyPrompts(config.vision_keys, width, generator, config.searches_images, own)
    return VisionPrompts(config.vision_depth, count, width, generator, coupled, late)


def check_image_tokens(config: TrainConfig, tower: nn.Module, experts: int) -> None:
    """Raises UserError if an image tower cannot take the learned tokens of the settings."""
    if config.vision_depth:
        check_can_be_prompted(tower, config.vision_depth)
    if not config.expert_vision_depth:
        return
    check_late_depth(tower, config.vision_depth, config.expert_vision_depth)
    if experts < 2:
        raise UserError(
            "expert_vision_depth gives each expert tokens of its own in the image tower, but "
            "there is only one expert. Set it to 0, or use at least two groups of templates."
        )


def tuned_tower(config: TrainConfig, weights: Mapping[str, Tensor]) -> TunedTower:
    """Returns what a run has learned in the image tower, from the weights of its model.

    Gradients flow to the weights, if they are parameters.

    Args:
        config: the run's settings.
        weights: the model's parameters by name.

    Raises:
        UserError: if the weights lack learned tokens or updates that the settings have.
    """
    norms = {name: value for name, value in weights.items() if name.startswith(NORMS)}
    keys = key_tokens_of(weights, VISION)  # their number may differ between the blocks
    tokens = _tokens(config, weights) if config.vision_depth and keys is None else None
    routed = router_sees_frozen(config, "gate.weight" in weights)
    updates = None
    if config.lora_rank:
        updates = low_rank_of(weights, f"{LORA}{IMAGE}", lora_scale(config))
    late = _late(config, weights) if config.expert_vision_depth else None
    return TunedTower(
        names_in_tower(norms), tokens, config.vision_insertion, routed, updates, keys, late
    )


def router_sees_frozen(config: TrainConfig, has_router: bool) -> bool:
    """Returns whether a router sees the frozen image tower's feature, beside a tuned one."""
    tokens = config.vision_depth > 0 or config.expert_vision_depth > 0
    return has_router and tokens and config.router_input == "frozen"


def tuned_backbone(
    backbone: Backbone, config: TrainConfig, weights: Mapping[str, Tensor]
) -> Backbone:
    """Returns the CLIP that encodes a run's images: with all that it learned in the image tower.

    Where each expert has tokens of its own, all experts see every image, not only the K that its
    router chooses: what the others would answer is shown and measured too.

    Args:
        backbone: the frozen CLIP with which the run was trained.
        config: the run's settings.
        weights: the run's weights.

    Raises:
        UserError: for LayerNorms or updates of other blocks than the CLIP's towers have.
    """
    _check_every_block(backbone, config, weights)
    tuned = tuned_tower(config, {n: value.to(backbone.device) for n, value in weights.items()})
    if tuned.late is not None:
        tuned = replace(tuned, late=tuned.late.of_all_experts())
    return backbone.with_tuned(tuned)


def _check_every_block(
    backbone: Backbone, config: TrainConfig, weights: Mapping[str, Tensor]
) -> None:
    """Raises UserError unless LayerNorms and updates are those of all blocks of the towers.

    A block without them would be computed as the frozen one.
    """
    tower = backbone.model.visual
    # Older runs of methods without prompts may have the setting, and learned nothing here.
    if config.tune_layer_norms and any(name.startswith(NORMS) for name in weights):
        norms = ImageNorms.from_tower(tower).values
        more = [name for name in weights if name.startswith(NORMS)]
        if unknown := [name for name in more if name.removeprefix(NORMS) not in norms]:
            raise UserError(
                f"The run's weights have {unknown[0]}, which this CLIP has not "
                "(tune_layer_norms). Restore the run's file, or train it again."
            )
        for name, own in norms.items():
            value = weights.get(f"{NORMS}{name}")
            if value is None or value.shape != own.shape:
                raise UserError(
                    f"The run's weights lack {NORMS}{name} of this CLIP, but tune_layer_norms is "
                    "on. Restore the run's file, or train it again."
                )
    if not config.lora_rank:
        return
    sizes = dict(zip((IMAGE, TEXT), tower_sizes(config, tower, backbone.text), strict=True))
    for side, (blocks, width) in sizes.items():
        down = weights.get(f"{LORA}{side}_down")
        if down is not None and (len(down), down.shape[-1]) != (blocks, width):
            raise UserError(
                f"The run's low-rank updates (lora_rank {config.lora_rank}) are for {len(down)} "
                f"blocks of width {down.shape[-1]}, but this CLIP's {side} tower has {blocks} of "
                f"width {width}. Restore the run's file, or train it again."
            )


def _tokens(config: TrainConfig, weights: Mapping[str, Tensor]) -> Tensor:
    """Returns the image tower's learned tokens (depth, count, width)."""
    try:
        if not config.coupling:
            return weights[f"{VISION}values"]
        first, *later = [weights[name] for name in COUPLED_TO if name in weights]
        text = torch.cat([first[None], *later])  # (depth, count, text width)
        layers = [f"{VISION}coupling.{block}." for block in range(config.vision_depth)]
        return torch.stack(
            [
                nn.functional.linear(row, weights[f"{layer}weight"], weights[f"{layer}bias"])
                for layer, row in zip(layers, text, strict=True)
            ]
        )
    except (KeyError, ValueError) as error:
        raise UserError(
            f"The run's weights lack the learned tokens of {config.vision_depth} blocks of the "
            "image tower, which its settings have. Train the run again."
        ) from error


def _late(config: TrainConfig, weights: Mapping[str, Tensor]) -> LateTokens:
    """Returns each expert's tokens of the last blocks; the router only chooses."""
    try:
        gate, bias = (weights[f"gate.{part}"].detach() for part in ("weight", "bias"))
        tokens = weights[f"{VISION}late"]
    except KeyError as error:
        raise UserError(
            f"The run's weights lack {error}, which its settings have (expert_vision_depth "
            f"{config.expert_vision_depth}). Train the run again."
        ) from error
    return LateTokens(tokens, gate, bias, config.num_chosen)
