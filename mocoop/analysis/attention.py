"""Where the tokens of an image tower look: attention over the patches of a picture.

The weights are those of the tower's own attention, mean over the heads; they tell what is mixed
into a token, not what the answer depends on (`mocoop.evaluation.occlusion` measures that).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from mocoop.clip.backbone import Backbone
from mocoop.clip.tuned_tower import TunedTower
from mocoop.errors import UserError


@dataclass(frozen=True)
class TowerAttention:
    """The attention in every block of a ViT for a batch of pictures."""

    blocks: tuple[Tensor, ...] = field(repr=False)
    """Per block (batch, tokens, keys), mean over the heads; rows sum to 1. Both axes begin with
    [CLS] and the patches, row by row; learned tokens follow."""
    grid: tuple[int, int]
    """Rows and columns of patches."""
    reads_cls: bool
    """Whether the image feature is read from [CLS]; if not, it is the mean over the patches."""
    depth: int = 0
    """Number of the first blocks with learned tokens of their own."""
    late: int = 0
    """Number of the last blocks with learned tokens of their own."""

    def has_own_tokens(self, block: int) -> bool:
        """Returns whether learned tokens enter a block, numbered from 0."""
        return block < self.depth or block >= len(self.blocks) - self.late

    @property
    def own(self) -> int:
        """The number of tokens that are not learned: [CLS] and the patches."""
        return self.grid[0] * self.grid[1] + 1

    def of_reader(self, block: int) -> Tensor:
        """Returns a block's attention (batch, keys) of what the image feature is read from.

        This is [CLS], or in a tower that reads all patches their mean.
        """
        return self._read(self.blocks[block])

    def of_learned(self, block: int) -> Tensor:
        """Returns a block's attention (batch, count, keys) of its learned tokens.

        `count` is 0 in a block without any, and where they are only keys and values: such tokens
        are looked at, and do not look.
        """
        return self.blocks[block][:, self.own :]

    def rollout(self) -> Tensor:
        """Returns how much of what is read at the end comes from where (batch, sources).

        Attention rollout (Abnar and Zuidema, arXiv 2005.00928): in each block a token is half
        itself and half what it attends to; the product over all blocks gives its sources. They
        are [CLS], the patches, and in one last column all learned tokens of all blocks, which
        enter where they replace others. Rows sum to 1.
        """
        own, first = self.own, self.blocks[0]
        sources = torch.eye(own + 1).to(first)[:own].expand(len(first), -1, -1)
        learned = torch.eye(own + 1).to(first)[own:].expand(len(first), -1, -1)
        for index, weights in enumerate(self.blocks):
            tokens, keys = weights.shape[1:]
            below = sources
            if self.has_own_tokens(index):  # the outputs of the tokens before do not go on
                below = torch.cat([sources[:, :own], learned.expand(-1, keys - own, -1)], dim=1)
            sources = 0.5 * below[:, :tokens] + 0.5 * weights @ below
        return self._read(sources)

    def on_patches(self, row: Tensor) -> Tensor:
        """Returns the part on the patches (..., rows, columns) of attention (..., keys)."""
        return row[..., 1 : self.own].unflatten(-1, self.grid)

    def shares(self, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the sums (...) of attention (..., keys) on patches, [CLS] and learned tokens."""
        return row[..., 1 : self.own].sum(-1), row[..., 0], row[..., self.own :].sum(-1)

    def _read(self, rows: Tensor) -> Tensor:
        return rows[:, 0] if self.reads_cls else rows[:, 1 : self.own].mean(dim=1)


def check_has_attention(tower: nn.Module) -> None:
    """Raises UserError for an image tower whose attention over patches cannot be shown."""
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", ())
    known = all(type(block) is ResidualAttentionBlock for block in blocks)
    plain = type(tower) is VisionTransformer and getattr(tower, "attn_pool", None) is None
    if not (plain and known and len(blocks)) or tower.pool_type not in ("tok", "avg"):
        raise UserError(
            f"This CLIP's image tower ({type(tower).__name__}) has no blocks in which a token "
            "attends to the patches of the picture. Expected a ViT of open_clip, such as "
            "ViT-B-16-quickgelu/openai."
        )


@torch.no_grad()
def tower_attention(backbone: Backbone, images: Tensor, expert: int = 0) -> TowerAttention:
    """Returns the attention in an image tower, with all that a run has learned in it.

    Args:
        backbone: the CLIP, tuned or not.
        images: transformed pictures (batch, 3, height, width).
        expert: the expert whose last blocks are followed, where experts have tokens of their own
            in these; otherwise all share the tower.

    Raises:
        UserError: for a tower that is no ViT of open_clip, or reads its feature otherwise.
    """
    tower: Any = backbone.model.visual
    check_has_attention(tower)
    tuned = replace(backbone.tuned or TunedTower(), with_frozen=False)
    if tuned.late is not None:
        tuned = replace(tuned, late=tuned.late.of_expert(expert))
    with _recorded(tower) as found:
        tuned.features(tower, images.to(backbone.device))
    rows, columns = tower.grid_size
    learned = tuned.tokens if tuned.keys is None else tuned.keys.values
    depth = 0 if learned is None else len(learned)
    late = 0 if tuned.late is None else tuned.late.depth
    # A router of late tokens makes the frozen tower go through the same modules first.
    last = found[-len(tower.transformer.resblocks) :]
    blocks = tuple(weights.float().cpu() for weights in last)
    return TowerAttention(blocks, (rows, columns), tower.pool_type == "tok", depth, late)


@contextmanager
def _recorded(tower: Any) -> Iterator[list[Tensor]]:
    """Collects the attention of every block, in order, while the tower computes."""
    found: list[Tensor] = []
    here = threading.get_ident()  # another thread may use the same tower at this moment

    def record(attention: nn.MultiheadAttention, args: tuple, named: dict) -> None:
        if threading.get_ident() != here:
            return
        query, key = (*args, *named.values())[:2]
        if not attention.batch_first:
            query, key = query.transpose(0, 1), key.transpose(0, 1)
        found.append(_weights(attention, query, key))

    hooks = [
        block.attn.register_forward_pre_hook(record, with_kwargs=True)
        for block in tower.transformer.resblocks
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _weights(attention: nn.MultiheadAttention, query: Tensor, key: Tensor) -> Tensor:
    """Returns attention weights (batch, tokens, keys), mean over the heads.

    Args:
        attention: its parameters are those in use: a run may have put others in their place.
        query: (batch, tokens, width).
        key: (batch, keys, width).
    """
    heads, width = attention.num_heads, attention.embed_dim
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    q = F.linear(query, weight[:width], bias[:width]).unflatten(-1, (heads, -1))
    k = F.linear(key, weight[width : 2 * width], bias[width : 2 * width]).unflatten(
        -1, (heads, -1)
    )
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / (width // heads) ** 0.5
    return scores.float().softmax(dim=-1).mean(dim=1)
