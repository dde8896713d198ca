"""Measures how far the learned tokens of each block of a tower are from where they started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mocoop.model.mixture import PromptMixture

TEXT, IMAGE = "text", "image"
BlockTokens = Mapping[str, tuple[Sequence[Tensor], ...]]


@torch.no_grad()
def block_tokens(
    model: PromptMixture, image_tower: nn.Module
) -> dict[str, tuple[Sequence[Tensor], ...]]:
    """Returns tower → copies of the learned tokens of its blocks, (tokens, width) each.

    The text tower has such tokens for every expert, or keys and values once. The image tower has
    them once, or for every expert if each has tokens of its own in the last blocks; blocks
    without tokens between these and the first ones have none. A tower without learned tokens in
    its blocks is left out: a context alone is compared with its hard prompts.

    Args:
        model: the model.
        image_tower: the CLIP's image tower.
    """
    found: dict[str, tuple[Sequence[Tensor], ...]] = {}
    if model.prompts.keys is not None:
        found[TEXT] = (tuple(own.clone() for own in model.prompts.keys.values),)
    elif len(model.prompts.deep):
        pairs = zip(model.prompts.before, model.prompts.deep, strict=True)
        found[TEXT] = tuple(tuple(torch.cat([first[None], later])) for first, later in pairs)
    tuned = model.tuned_tower()
    tokens = tuned.tokens if tuned.keys is None else tuned.keys.values
    shared = () if tokens is None else tuple(own.clone() for own in tokens)
    if tuned.late is not None:
        tower: Any = image_tower
        between = len(tower.transformer.resblocks) - len(shared) - tuned.late.depth
        none = (tuned.late.tokens.new_zeros(0),) * between
        found[IMAGE] = tuple((*shared, *none, *own.clone()) for own in tuned.late.tokens)
    elif shared:
        found[IMAGE] = (shared,)
    return found


@torch.no_grad()
def moved_by_block(start: BlockTokens, now: BlockTokens) -> dict[str, list[list[float]]]:
    """Returns tower → expert → block → the distance from the start, as a share of its length.

    0: the tokens did not move. 1: they moved as far as their start is long (Frobenius norm of all
    tokens of the block). A block without tokens has 0.

    Args:
        start: the tokens before training, from `block_tokens`.
        now: the tokens of the same model after an epoch.
    """
    return {
        tower: [
            [_share(*block) for block in zip(first, later, strict=True)]
            for first, later in zip(start[tower], now[tower], strict=True)
        ]
        for tower in start
    }


def _share(first: Tensor, later: Tensor) -> float:
    """Returns how far the tokens of one block moved, as a share of the length of their start."""
    return float((later - first).norm() / first.norm()) if len(first) else 0.0
