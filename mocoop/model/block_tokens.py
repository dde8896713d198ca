"""Measures how far the learned tokens of each block of a tower are from where they started."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mocoop.model.mixture import PromptMixture

TEXT, IMAGE = "text", "image"
BlockTokens = Mapping[str, tuple[Tensor, ...]]


@torch.no_grad()
def block_tokens(model: PromptMixture) -> dict[str, tuple[Tensor, ...]]:
    """Returns tower → copies of its learned tokens, (blocks, tokens, width) each.

    The text tower has such tokens for every expert, the image tower once. A tower without learned
    tokens in its blocks is left out: a context alone is compared with its hard prompts.
    """
    found: dict[str, tuple[Tensor, ...]] = {}
    if len(model.prompts.deep):
        pairs = zip(model.prompts.before, model.prompts.deep, strict=True)
        found[TEXT] = tuple(torch.cat([first[None], later]) for first, later in pairs)
    tokens = model.tuned_tower().tokens
    if tokens is not None:
        found[IMAGE] = (tokens.detach().clone(),)
    return found


@torch.no_grad()
def moved_by_block(start: BlockTokens, now: BlockTokens) -> dict[str, list[list[float]]]:
    """Returns tower → expert → block → the distance from the start, as a share of its length.

    0: the tokens did not move. 1: they moved as far as their start is long (Frobenius norm of all
    tokens of the block).

    Args:
        start: the tokens before training, from `block_tokens`.
        now: the tokens of the same model after an epoch.
    """
    return {
        tower: [
            ((later - first).flatten(1).norm(dim=1) / first.flatten(1).norm(dim=1)).tolist()
            for first, later in zip(start[tower], now[tower], strict=True)
        ]
        for tower in start
    }
