"""Low-rank updates of a tower's attention (LoRA), and attention with them.

Hu et al., arXiv 2106.09685; for CLIP: Zanella and Ben Ayed, arXiv 2405.18541. The weights of
queries, keys and values become `W + s B A`, where A (rank, width) and B (width, rank) are small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mocoop.errors import UserError

PARTS = 3  # queries, keys and values
KEPT_ROWS = 24  # activations of a block that autograd keeps, in rows of the tower's width


@dataclass(frozen=True)
class LowRank:
    """Updates of queries, keys and values in all blocks of one tower."""

    down: Tensor = field(repr=False)
    """A of every block, (blocks, 3, rank, width)."""
    up: Tensor = field(repr=False)
    """B of every block, (blocks, 3, width, rank)."""
    scale: float
    """s, by which B A is multiplied."""
    dropout: float = 0.0
    """Share of the updates' inputs that is set to zero; used only with `seeds`."""
    seeds: tuple[int, ...] = ()
    """A seed per block, for the dropout of one training step; empty outside of training."""

    def dropping(self, dropout: float, generator: torch.Generator | None) -> LowRank:
        """Returns the updates with dropout for one training step; without it, the same ones.

        Args:
            dropout: the share of the inputs that is set to zero.
            generator: draws the seeds; a CPU generator. None outside of training.
        """
        if generator is None or dropout == 0.0:
            return self
        seeds = torch.randint(2**62, (len(self.down),), generator=generator)
        return replace(self, dropout=dropout, seeds=tuple(seeds.tolist()))

    def to(self, device: torch.device) -> LowRank:
        """Returns the updates on a device."""
        return replace(self, down=self.down.to(device), up=self.up.to(device))

    def merged(self, tower: nn.Module) -> dict[str, Tensor]:
        """Returns the updated attention weights of an image tower, by their names there."""
        named: dict[str, Tensor] = {}
        blocks: Any = tower
        for index, block in enumerate(blocks.transformer.resblocks):
            change = (self.up[index] @ self.down[index]).flatten(0, 1)  # (3 width, width)
            weight = block.attn.in_proj_weight
            name = f"transformer.resblocks.{index}.attn.in_proj_weight"
            named[name] = weight + (self.scale * change).to(weight.dtype)
        return named

    def attention(
        self,
        index: int,
        block: nn.Module,
        queries: Tensor,
        keys: Tensor,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Returns the output of a block's attention, (batch, queries, width), with the updates.

        Args:
            index: the block's position in the tower.
            block: the frozen block.
            queries: normalised tokens (batch, queries, width).
            keys: normalised tokens (batch, keys, width), which give keys and values.
            mask: (queries, keys), added to the scores; None if all tokens see all.
        """
        attention: Any = block.attn
        drawn = None
        if self.seeds:
            drawn = torch.Generator(queries.device).manual_seed(self.seeds[index])
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
        inputs = (queries, keys, keys)
        if queries is keys:
            projected = F.linear(keys, weight, bias).chunk(PARTS, dim=-1)
        else:
            each = zip(inputs, weight.chunk(PARTS), bias.chunk(PARTS), strict=True)
            projected = tuple(F.linear(x, w, b) for x, w, b in each)
        heads = []
        for part, x in enumerate(inputs):
            low = F.linear(self._dropped(x, drawn), self.down[index, part])
            value = projected[part] + self.scale * F.linear(low, self.up[index, part])
            heads.append(value.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2))
        added = None if mask is None else mask.to(heads[0].dtype)
        q, k, v = heads
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=added)
        return attention.out_proj(mixed.transpose(1, 2).flatten(-2))

    def block(self, index: int, block: nn.Module, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the output of a whole block, (batch, tokens, width)."""
        parts: Any = block
        normed = parts.ln_1(x)
        x = x + parts.ls_1(self.attention(index, block, normed, normed, mask))
        return x + parts.ls_2(parts.mlp(parts.ln_2(x)))

    def lean_block(
        self, index: int, block: nn.Module, x: Tensor, mask: Tensor | None, memory: int
    ) -> Tensor:
        """Returns the output of a whole block; it is computed twice if memory is short.

        The result is the same: the dropout is drawn again from the same seed.

        Args:
            index: the block's position in the tower.
            block: the frozen block.
            x: (batch, tokens, width).
            mask: (tokens, tokens), added to the scores, or None.
            memory: bytes of activations that all blocks together may keep for gradients.
        """
        kept = KEPT_ROWS * x.numel() * x.element_size() * len(self.down)
        if not torch.is_grad_enabled() or kept <= memory:
            return self.block(index, block, x, mask)
        run = lambda inputs: self.block(index, block, inputs, mask)
        return checkpoint(run, x, use_reentrant=False, preserve_rng_state=False)

    def _dropped(self, x: Tensor, drawn: torch.Generator | None) -> Tensor:
        """Returns the inputs of an update: some are zero, the others larger, as in nn.Dropout."""
        if drawn is None:
            return x
        kept = torch.empty_like(x, requires_grad=False)
        kept.bernoulli_(1 - self.dropout, generator=drawn)
        return x * (kept / (1 - self.dropout))


def check_can_be_updated(visual: nn.Module, transformer: nn.Module) -> None:
    """Raises UserError for towers whose attention takes no low-rank updates.

    Args:
        visual: the image tower.
        transformer: the text tower's transformer.
    """
    named = {"image": getattr(visual, "transformer", None), "text": transformer}
    plain = {name: has_plain_attention(module) for name, module in named.items()}
    plain["image"] = plain["image"] and type(visual) is VisionTransformer
    refused = [name for name, is_plain in plain.items() if not is_plain]
    if refused:
        raise UserError(
            f"This CLIP's {refused[0]} tower takes no low-rank updates (lora_rank): it has no "
            "blocks with plain attention. Choose a ViT backbone of open_clip, such as "
            "ViT-B-16-quickgelu/openai, or a method that leaves the towers as they are, such as "
            "mocoop or coop."
        )


def has_plain_attention(transformer: nn.Module | None) -> bool:
    """Returns whether all blocks of a transformer have open_clip's usual attention."""
    blocks = list(getattr(transformer, "resblocks", ()))
    return len(blocks) > 0 and all(
        type(block) is ResidualAttentionBlock
        and isinstance(block.attn, nn.MultiheadAttention)
        and block.attn.in_proj_weight is not None
        and block.attn.in_proj_bias is not None
        for block in blocks
    )


def low_rank_of(weights: Mapping[str, Tensor], side: str, scale: float) -> LowRank:
    """Returns the updates of one tower from named weights, `{side}_down` and `{side}_up`.

    Raises:
        UserError: if they are missing.
    """
    try:
        return LowRank(weights[f"{side}_down"], weights[f"{side}_up"], scale)
    except KeyError as error:
        raise UserError(
            f"The run's weights lack the low-rank updates {error}, which its settings have. "
            "Train the run again."
        ) from error
