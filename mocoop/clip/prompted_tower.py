"""Learned tokens in the blocks of a frozen image tower, and their forward pass.

Visual prompt tuning (Jia et al., arXiv 2203.12119): tokens join the patches in the first blocks.
In the published programs the tokens of block 0 stand beside the patches, and those of every
later block replace the outputs of the tokens before them. As keys and values only, they are
attended to within a block, and leave no output (as in DPL, arXiv 2501.00457).
"""

from __future__ import annotations

from typing import Any

import torch
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from mocoop.clip.low_rank import LowRank
from mocoop.config import Insertion
from mocoop.errors import UserError
from mocoop.prompt_encoder.key_tokens import KeyTokens


def check_can_be_prompted(tower: nn.Module, depth: int) -> None:
    """Raises UserError for an image tower that cannot take tokens in its first `depth` blocks."""
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", ())
    plain = type(tower) is VisionTransformer and getattr(tower, "attn_pool", None) is None
    known = all(type(block) is ResidualAttentionBlock for block in blocks)
    if not plain or not known or tower.pool_type not in ("tok", "avg"):
        raise UserError(
            f"This CLIP's image tower ({type(tower).__name__}) takes no learned tokens. Choose a "
            "ViT backbone of open_clip, such as ViT-B-16-quickgelu/openai, or a method that "
            "leaves the image tower as it is, such as mocoop or coop."
        )
    if depth > len(blocks):
        raise UserError(
            f"vision_depth is {depth}, but this CLIP's image tower has only {len(blocks)} blocks. "
            f"Choose 1 to {len(blocks)}."
        )


def prompted_features(
    tower: nn.Module,
    images: Tensor,
    tokens: Tensor | None,
    insertion: Insertion = "replace",
    updates: LowRank | None = None,
    keys: KeyTokens | None = None,
) -> Tensor:
    """Returns image features (batch, dim), not normalised, with learned tokens in the blocks.

    Args:
        tower: a ViT of open_clip.
        images: transformed images (batch, 3, height, width).
        tokens: the tokens of the first blocks, (depth, count, width); None without any.
        insertion: `replace`: beside the patches in block 0, and in each later block in place of
            the outputs of the tokens before; the last ones pass through all further blocks.
            `keys`: only as keys and values of their own block.
        updates: low-rank updates of every block's attention, or None.
        keys: keys and values of the first blocks, whose number may differ; without `tokens`.
    """
    if tokens is not None and insertion == "keys":
        keys, tokens = KeyTokens(tuple(tokens)), None
    vit: Any = tower
    x = vit._embeds(images)  # (batch, patches + 1, width), after ln_pre
    if tokens is None:
        x = _with_keys(vit.transformer, x, keys or KeyTokens(()), updates)
    else:
        x = _replacing(vit.transformer, x, tokens, vit.ln_pre, updates)
    pooled, _ = vit._pool(x)
    return pooled if vit.proj is None else pooled @ vit.proj


def _replacing(
    transformer: Any, x: Tensor, tokens: Tensor, norm: nn.Module, updates: LowRank | None
) -> Tensor:
    """Returns the last block's output (batch, patches + 1, width), without learned tokens."""
    own, count = x.shape[1], tokens.shape[1]
    # ln_pre works on each token alone, so that the patches need no second pass through it.
    first = norm(tokens[0])
    x = torch.cat([x, _expanded(first, x)], dim=1)
    for index, block in enumerate(transformer.resblocks):
        if 0 < index < len(tokens):
            x = torch.cat([x[:, :own], _expanded(tokens[index], x)], dim=1)
        x = _block(transformer, index, block, x, updates)
    assert x.shape[1] == own + count
    return x[:, :own]


def _with_keys(transformer: Any, x: Tensor, keys: KeyTokens, updates: LowRank | None) -> Tensor:
    """Returns the last block's output (batch, patches + 1, width)."""
    for index, block in enumerate(transformer.resblocks):
        learned = keys.of_block(index)
        if learned is None:
            x = _block(transformer, index, block, x, updates)
            continue
        if learned.shares is not None:
            assert updates is None, "no low-rank updates in a search of lengths"
            x = learned.output(block, x)
            continue
        queries = block.ln_1(x)
        beside = _expanded(block.ln_1(learned.tokens), queries)
        both = torch.cat([queries, beside], dim=1)
        if updates is not None:
            mixed = updates.attention(index, block, queries, both)
        elif transformer.batch_first:
            mixed = block.attention(q_x=queries, k_x=both, v_x=both)
        else:
            swapped = both.transpose(0, 1)
            mixed = block.attention(q_x=queries.transpose(0, 1), k_x=swapped, v_x=swapped)
            mixed = mixed.transpose(0, 1)
        x = x + block.ls_1(mixed)
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
    return x


def _block(
    transformer: Any, index: int, block: nn.Module, x: Tensor, updates: LowRank | None
) -> Tensor:
    """Returns a block's output; some towers take the tokens as the first axis."""
    if updates is not None:
        return updates.block(index, block, x)
    if transformer.batch_first:
        return block(x)
    return block(x.transpose(0, 1)).transpose(0, 1)


def _expanded(tokens: Tensor, x: Tensor) -> Tensor:
    """Returns tokens (count, width) once for each image of a batch, in its dtype."""
    # The shape, not the length, which would fix the number of images in an exported graph.
    return tokens.to(x.dtype).expand(x.shape[0], -1, -1)
