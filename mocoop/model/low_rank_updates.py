"""The trainable low-rank updates of both towers (CLIP-LoRA), and how a model is built with them.

Zanella and Ben Ayed, arXiv 2405.18541: A starts as the weights of a linear layer, B as zero, so
that the untrained model is the frozen CLIP; B A is multiplied by alpha / sqrt(rank).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mocoop.clip.low_rank import PARTS, LowRank, check_can_be_updated, low_rank_of
from mocoop.clip.text_tower import TextTower
from mocoop.config import TrainConfig
from mocoop.errors import UserError

LORA = "lora."
"""What the names of these parameters begin with in a model."""
IMAGE, TEXT = "image", "text"


class LowRankUpdates(nn.Module):
    """Updates of queries, keys and values in every block of both towers.

    Args:
        rank: the rank of each update.
        scale: the number by which each update is multiplied.
        image: number of blocks and width of the image tower.
        text: number of blocks and width of the text tower.
        generator: draws the first values of A; a CPU generator.
    """

    def __init__(
        self,
        rank: int,
        scale: float,
        image: tuple[int, int],
        text: tuple[int, int],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.scale = scale
        for side, (blocks, width) in ((IMAGE, image), (TEXT, text)):
            bound = width**-0.5  # as nn.Linear: Kaiming's uniform distribution with a = sqrt(5)
            down = torch.empty(blocks, PARTS, rank, width)
            down.uniform_(-bound, bound, generator=generator)
            self.register_parameter(f"{side}_down", nn.Parameter(down))
            up = torch.zeros(blocks, PARTS, width, rank)
            self.register_parameter(f"{side}_up", nn.Parameter(up))

    def of(self, side: str) -> LowRank:
        """Returns the updates of one tower, `IMAGE` or `TEXT`, with their gradients."""
        return low_rank_of(dict(self.named_parameters()), side, self.scale)


def lora_scale(config: TrainConfig) -> float:
    """Returns alpha / sqrt(rank), as in the authors' code."""
    return config.lora_alpha / config.lora_rank**0.5


def low_rank_updates(
    config: TrainConfig, tower: nn.Module, text: TextTower, generator: torch.Generator
) -> LowRankUpdates | None:
    """Returns the untrained updates that the settings ask for; None if they ask for none.

    Args:
        config: the run's settings.
        tower: the image tower.
        text: the text tower.
        generator: draws the first values; a CPU generator.

    Raises:
        UserError: for a tower without plain attention, or a rank that is larger than its width.
    """
    if config.lora_rank == 0:
        return None
    image, read = tower_sizes(config, tower, text)
    return LowRankUpdates(config.lora_rank, lora_scale(config), image, read, generator)


def tower_sizes(
    config: TrainConfig, tower: nn.Module, text: TextTower
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns the number of blocks and the width of the image tower, and of the text tower.

    Raises:
        UserError: for a tower without plain attention, or a rank that is larger than its width.
    """
    check_can_be_updated(tower, text.transformer)
    stacks: Any = tower.get_submodule("transformer").resblocks, text.transformer.resblocks
    widths = [int(blocks[0].attn.embed_dim) for blocks in stacks]
    if config.lora_rank > min(widths):
        raise UserError(
            f"lora_rank is {config.lora_rank}, but this CLIP's image tower has width {widths[0]} "
            f"and its text tower width {widths[1]}. Choose 1 to {min(widths)}; 2 is usual."
        )
    image, read = ((len(blocks), width) for blocks, width in zip(stacks, widths, strict=True))
    return image, read
