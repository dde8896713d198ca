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
from mocoop.errors import UserError
from mocoop.prompt_encoder.key_tokens import BlockKeys, KeyTokens
from mocoop.setting_types import Insertion

Learned = Tensor | BlockKeys | None
"""A block's learned tokens: those that join the others, those that are only keys and values, or
none."""


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
    most = len(blocks)
    if depth > most:
        count, choices = ("1 block", "1") if most == 1 else (f"{most} blocks", f"1 to {most}")
        raise UserError(
            f"vision_depth is {depth}, but this CLIP's image tower has only {count}. "
            f"Choose {choices}."
        )


def check_late_depth(tower: nn.Module, depth: int, late: int) -> None:
    """Raises UserError if the first `depth` and the last `late` blocks of a tower overlap."""
    check_can_be_prompted(tower, max(depth, 1))
    blocks: Any = tower.get_submodule("transformer").resblocks
    left = len(blocks) - depth
    if late > left:
        can = f"Choose 0 to {left}" if left > 0 else "Choose 0"
        raise UserError(
            f"expert_vision_depth is {late} and vision_depth {depth}, but this CLIP's image tower "
            f"has {len(blocks)} blocks, and a block has either tokens of all experts or tokens of "
            f"each. {can}, or a smaller vision_depth."
        )


def prompted_features(
    tower: nn.Module,
    images: Tensor,
    tokens: Tensor | None,
    insertion: Insertion = "replace",
    updates: LowRank | None = None,
    keys: KeyTokens | None = None,
    late: Tensor | None = None,
    chosen: Tensor | None = None,
) -> Tensor:
    """Returns image features (batch, dim), not normalised, with learned tokens in the blocks.

    With `late` they are (batch, K, dim), one for each chosen expert.

    Args:
        tower: a ViT of open_clip.
        images: transformed images (batch, 3, height, width).
        tokens: the tokens of the first blocks, (depth, count, width); None without any.
        insertion: `replace`: beside the patches in block 0, and in each later block in place of
            the outputs of the tokens before; the last ones pass through all further blocks.
            `keys`: only as keys and values of their own block.
        updates: low-rank updates of every block's attention, or None.
        keys: keys and values of the first blocks, whose number may differ; without `tokens`.
        late: each expert's tokens of the last blocks, (experts, late depth, count, width). They
            replace the outputs of all learned tokens before them.
        chosen: with `late` the experts of each image, (batch, K). The blocks below run once for
            an image, these once for each of its K experts.
    """
    vit: Any = tower
    transformer = vit.transformer
    x = vit._embeds(images)  # (batch, patches + 1, width), after ln_pre
    own, last = x.shape[1], len(transformer.resblocks)

    def entering(index: int, values: Tensor) -> Learned:
        """Returns a block's tokens as they enter it."""
        if insertion == "keys":
            return BlockKeys(values)
        # ln_pre works on each token alone, so that the patches need no second pass through it.
        return vit.ln_pre(values) if index == 0 else values

    first: dict[int, Learned] = {}
    if keys is not None:
        first = {index: keys.of_block(index) for index in range(last)}
    elif tokens is not None:
        first = {index: entering(index, values) for index, values in enumerate(tokens)}
    if late is not None:
        last -= late.shape[1]
    for index in range(last):
        x = _with_tokens(transformer, index, x, own, first.get(index), updates)
    if late is not None and chosen is not None:
        x = x[:, :own].repeat_interleave(chosen.shape[1], dim=0)  # (batch K, patches + 1, width)
        of_pairs = late[chosen.flatten()]  # (batch K, late depth, count, width)
        for number in range(late.shape[1]):
            index = last + number
            learned = entering(index, of_pairs[:, number])
            x = _with_tokens(transformer, index, x, own, learned, updates)
    pooled, _ = vit._pool(x[:, :own])
    found = pooled if vit.proj is None else pooled @ vit.proj
    return found if late is None else found.unflatten(0, (len(images), -1))


def _with_tokens(
    transformer: Any, index: int, x: Tensor, own: int, learned: Learned, updates: LowRank | None
) -> Tensor:
    """Returns a block's output (batch, tokens, width); learned tokens stand behind the others.

    Args:
        transformer: the tower's blocks.
        index: the block's position.
        x: the output of the block before.
        own: the number of tokens that are not learned, [CLS] and the patches.
        learned: the block's learned tokens, (count, width), or (batch, count, width) if each
            image has its own.
        updates: low-rank updates of every block's attention, or None.
    """
    block = transformer.resblocks[index]
    if isinstance(learned, BlockKeys):
        if learned.shares is None:
            return _as_keys(transformer, index, block, x, learned.tokens, updates)
        assert updates is None, "no low-rank updates in a search of lengths"
        return learned.output(block, x)
    if learned is not None:
        x = torch.cat([x[:, :own], _expanded(learned, x)], dim=1)
    return _block(transformer, index, block, x, updates)


def _as_keys(
    transformer: Any, index: int, block: Any, x: Tensor, tokens: Tensor, updates: LowRank | None
) -> Tensor:
    """Returns a block's output (batch, patches + 1, width), with tokens as keys and values."""
    queries = block.ln_1(x)
    keys = torch.cat([queries, _expanded(block.ln_1(tokens), queries)], dim=1)
    if updates is not None:
        mixed = updates.attention(index, block, queries, keys)
    elif transformer.batch_first:
        mixed = block.attention(q_x=queries, k_x=keys, v_x=keys)
    else:
        swapped = keys.transpose(0, 1)
        mixed = block.attention(q_x=queries.transpose(0, 1), k_x=swapped, v_x=swapped)
        mixed = mixed.transpose(0, 1)
    x = x + block.ls_1(mixed)
    return x + block.ls_2(block.mlp(block.ln_2(x)))


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
    """Returns tokens (count, width) once for each image of a batch, in its dtype.

    Tokens (batch, count, width) stay what they are.
    """
    # The shape, not the length, which would fix the number of images in an exported graph.
    return tokens.to(x.dtype).expand(x.shape[0], -1, -1)
