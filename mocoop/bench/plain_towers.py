"""The plain towers of `mocoop bench --methods`: one forward pass after the other, with autograd.

Learned tokens join the others, or are keys and values of a block alone (DPL, arXiv 2501.00457):
then each candidate of a search has an attention of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocoop.clip.low_rank import PARTS, LowRank
from mocoop.clip.text_tower import TextTower
from mocoop.prompt_encoder.key_tokens import KeyTokens


def plain_image_features(
    tower: nn.Module,
    images: Tensor,
    tokens: Tensor | None = None,
    updates: LowRank | None = None,
    dropout: float = 0.0,
    keys: KeyTokens | None = None,
) -> Tensor:
    """Returns image features (batch, dim), not normalised, of a ViT.

    Args:
        tower: a ViT of open_clip.
        images: transformed images (batch, 3, height, width).
        tokens: learned tokens of the first blocks (depth, count, width), or None. Each block's
            replace the outputs of those before.
        updates: low-rank updates of every block's attention, or None.
        dropout: share of the updates' inputs that is set to zero.
        keys: learned keys and values of the blocks, or None.
    """
    if tokens is None and updates is None and keys is None:
        return tower(images)
    vit: Any = tower
    patches = vit.conv1(images).flatten(2).transpose(1, 2)  # (batch, patches, width)
    first = vit.class_embedding.expand(len(images), 1, -1)
    x = torch.cat([first, patches], dim=1) + vit.positional_embedding
    own = x.shape[1]
    if tokens is not None:
        x = torch.cat([x, tokens[0].expand(len(x), -1, -1)], dim=1)
    x = vit.ln_pre(x)
    for number, block in enumerate(vit.transformer.resblocks):
        if tokens is not None and 0 < number < len(tokens):
            x = torch.cat([x[:, :own], tokens[number].expand(len(x), -1, -1)], dim=1)
        x = _block(block, number, x, None, updates, dropout, keys)
    pooled, _ = vit._pool(x[:, :own])
    return pooled @ vit.proj


def plain_text_blocks(
    tower: TextTower,
    x: Tensor,
    deep: Sequence[Tensor],
    updates: LowRank | None,
    dropout: float,
    keys: KeyTokens | None,
) -> Tensor:
    """Returns the output (classes, 77, width) of the text tower's blocks.

    Args:
        tower: the frozen text tower.
        x: the input of the first block, (classes, 77, width).
        deep: as in `SoftPrompts`, of one expert.
        updates: low-rank updates of every block's attention, or None.
        dropout: share of the updates' inputs that is set to zero.
        keys: learned keys and values of the blocks, or None.
    """
    for number, block in enumerate(tower.transformer.resblocks):
        if 0 < number <= len(deep):
            own = deep[number - 1]
            x = torch.cat([x[:, :1], own.expand(len(x), -1, -1), x[:, 1 + len(own) :]], dim=1)
        x = _block(block, number, x, tower.causal_mask, updates, dropout, keys)
    return x


def _block(
    block: Any,
    number: int,
    x: Tensor,
    mask: Tensor | None,
    updates: LowRank | None,
    dropout: float,
    keys: KeyTokens | None,
) -> Tensor:
    """Returns a block's output (batch, tokens, width)."""
    if keys is not None and number < len(keys.values):
        return _block_with_keys(block, number, x, mask, keys)
    if updates is None:
        return block(x, attn_mask=mask)
    normed, attention = block.ln_1(x), block.attn
    weights, biases = attention.in_proj_weight.chunk(PARTS), attention.in_proj_bias.chunk(PARTS)
    heads = []
    for part, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        low = F.dropout(normed, dropout) @ updates.down[number, part].T
        y = F.linear(normed, weight, bias) + updates.scale * low @ updates.up[number, part].T
        heads.append(y.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2))
    query, key, value = heads
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    x = x + block.ls_1(attention.out_proj(mixed.transpose(1, 2).flatten(-2)))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def _block_with_keys(
    block: Any, number: int, x: Tensor, mask: Tensor | None, keys: KeyTokens
) -> Tensor:
    """Returns the output of a block with learned keys and values, (batch, tokens, width).

    In a search the attention is a weighted sum of one without any of them and one per candidate.
    """
    normed, tokens = block.ln_1(x), keys.values[number]

    def attention(learned: Tensor) -> Tensor:
        others = torch.cat([normed, block.ln_1(learned).expand(len(x), -1, -1)], dim=1)
        seen = None if mask is None else F.pad(mask, (0, len(learned)))  # all see the learned ones
        return block.attention(normed, others, others, seen)

    if keys.shares is None:
        mixed = attention(tokens)
    else:
        candidates = [tokens[:0], *tokens.split(keys.lengths)]
        shares = keys.shares[number]
        mixed = sum(
            share * attention(learned) for share, learned in zip(shares, candidates, strict=True)
        )
    x = x + block.ls_1(mixed)
    return x + block.ls_2(block.mlp(block.ln_2(x)))
