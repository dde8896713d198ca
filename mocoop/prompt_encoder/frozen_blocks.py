"""The frozen text tower's blocks over tiles of prompts, with a hand-written backward pass.

The weights need no gradients, so the backward pass needs far fewer saved tensors than autograd
keeps. It can also run without any: then it encodes the chunk again. The residual stream is fp32;
matrix products and attention run in the dtype of the given weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mocoop.prompt_encoder.block_weights import BlockWeights, norm_backward, norm_forward
from mocoop.prompt_encoder.key_tokens import KeyTokens
from mocoop.prompt_encoder.learned_keys import KeyGradients, KeyPlan, keys_beside
from mocoop.prompt_encoder.tile_attention import TileIndex, attend, attend_backward
from mocoop.prompt_encoder.tiles import Chunk

aten = torch.ops.aten
QUICK = 1.702  # QuickGELU is x * sigmoid(1.702 x)


class FrozenBlocks(torch.autograd.Function):
    """The tower's blocks for one chunk: from rows (rows, width) to [EOS] (pairs, width)."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        chunk: Chunk,
        blocks: Sequence[BlockWeights],
        keep: bool,
        places: Tensor | None = None,
        deep: Tensor | None = None,
        plan: KeyPlan | None = None,
        learned: Tensor | None = None,
        shares: Tensor | None = None,
    ) -> Tensor:
        """Returns the last block's output at every pair's [EOS].

        Args:
            ctx: autograd's context.
            rows: token embeddings plus positional embeddings, fp32.
            chunk: the prompt and tile of each row.
            blocks: the tower's weights.
            keep: whether to save tensors for the backward pass; otherwise it encodes the chunk
                again.
            places: the rows that have learned tokens in later blocks, (tokens,), or None.
            deep: these tokens, (layers, tokens, width), fp32: before block l, from 1 to `layers`,
                the rows in `places` are replaced by deep[l - 1].
            plan: which learned keys and values belong to which block, or None without any.
            learned: the tokens that these are computed from, those of all blocks, fp32.
            shares: the weights of the candidates, as in `KeyTokens`, or None.
        """
        keys = None if plan is None else plan.joined(learned, shares)
        # Every product runs in the weights' dtype; autocast would change some of them.
        with torch.autocast(rows.device.type, enabled=False):
            output, kept = run_blocks(rows, chunk, blocks, keep, places, deep, keys)
        ctx.chunk, ctx.blocks, ctx.keep, ctx.places, ctx.plan = chunk, blocks, keep, places, plan
        ctx.layers = 0 if deep is None else len(deep)
        ctx.save_for_backward(*(kept if keep else [rows, deep]), learned, shares)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients with respect to the rows and to the blocks' learned tokens."""
        *kept, learned, shares = ctx.saved_tensors
        keys = None if ctx.plan is None else ctx.plan.joined(learned, shares)
        with torch.autocast(gradient.device.type, enabled=False):
            if not ctx.keep:
                rows, deep = kept
                _, kept = run_blocks(rows, ctx.chunk, ctx.blocks, True, ctx.places, deep, keys)
            found = back_through(
                gradient, ctx.chunk, ctx.blocks, kept, ctx.places, ctx.layers, keys
            )
        none = (None, None, None, None)
        return found.rows, *none, found.deep, None, found.learned, found.shares


@dataclass(frozen=True)
class BlockGradients:
    """The gradients with respect to what `run_blocks` took."""

    rows: Tensor  # (rows, width)
    deep: Tensor | None  # (layers, tokens, width)
    learned: Tensor | None  # (tokens of all blocks, width)
    shares: Tensor | None  # (blocks, 1 + candidates)


def kept_bytes(
    chunk: Chunk,
    blocks: Sequence[BlockWeights],
    learned: Sequence[int] = (),
    whole: bool = False,
) -> int:
    """Returns the number of bytes that `run_blocks` saves for a chunk's backward pass.

    Args:
        chunk: the prompts.
        blocks: the tower's weights.
        learned: the number of learned keys and values of each of the first blocks.
        whole: whether it is the number of `run_whole_blocks` instead.
    """
    width, hidden = blocks[0].up.shape
    size, heads = blocks[0].up.element_size(), blocks[0].heads
    tiles, own = chunk.keys.shape

    def block_bytes(number: int, queries: int, mixed: int) -> int:
        keys = own + (learned[number] if number < len(learned) else 0)
        norms = 4 * (chunk.rows + mixed) * (width + 2)
        attention = queries * (width + heads * keys) + 2 * tiles * keys * width
        return norms + size * (attention + mixed * hidden)

    last = len(blocks) if whole else len(blocks) - 1
    full = sum(block_bytes(number, chunk.slots.numel(), chunk.rows) for number in range(last))
    if whole:
        return full
    return full + block_bytes(last, chunk.end_slots.numel(), len(chunk.ends))


def run_blocks(
    rows: Tensor,
    chunk: Chunk,
    blocks: Sequence[BlockWeights],
    keep: bool,
    places: Tensor | None = None,
    deep: Tensor | None = None,
    keys: KeyTokens | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Returns the output at each [EOS] (pairs, width), and tensors for the backward pass.

    The arguments are those of `FrozenBlocks`; `keys` are the learned keys and values.
    """
    heads, dtype, width = blocks[0].heads, blocks[0].qkv.dtype, rows.shape[1]
    x, kept = run_whole_blocks(rows, chunk, blocks[:-1], keep, places, deep, keys)
    # Only the output at [EOS] of the last block is used.
    block, index = blocks[-1], TileIndex.at_ends(chunk, heads, dtype)
    x = _replaced(x, len(blocks) - 1, places, deep)
    normed, *moments_1 = norm_forward(block.norm_1, x, dtype)
    keys_values = torch.addmm(block.qkv_bias[width:], normed, block.qkv[:, width:])
    queries = torch.addmm(block.qkv_bias[:width], normed[chunk.ends], block.qkv[:, :width])
    beside = keys_beside(keys, len(blocks) - 1, block)
    mixed, parts = attend(keys_values, index, width // heads, queries, beside)
    output, rest = _second_half(block, x[chunk.ends], mixed)
    if keep:
        kept += [*moments_1, *parts, *rest]
    return output, kept


def run_whole_blocks(
    rows: Tensor,
    chunk: Chunk,
    blocks: Sequence[BlockWeights],
    keep: bool,
    places: Tensor | None = None,
    deep: Tensor | None = None,
    keys: KeyTokens | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Returns the output of blocks in all rows (rows, width), and what the backward pass needs.

    The arguments are those of `run_blocks`.
    """
    kept: list[Tensor] = []
    if not blocks:
        return rows, kept
    heads, dtype, width = blocks[0].heads, blocks[0].qkv.dtype, rows.shape[1]
    index = TileIndex.from_chunk(chunk, heads, dtype)
    x = rows
    for number, block in enumerate(blocks):
        x = _replaced(x, number, places, deep)
        normed, *moments_1 = norm_forward(block.norm_1, x, dtype)
        qkv = torch.addmm(block.qkv_bias, normed, block.qkv)
        beside = keys_beside(keys, number, block)
        mixed, parts = attend(qkv, index, width // heads, beside=beside)
        x, rest = _second_half(block, x, mixed)
        if keep:
            kept += [*moments_1, *parts, *rest]
    return x, kept


def back_through(
    gradient: Tensor,
    chunk: Chunk,
    blocks: Sequence[BlockWeights],
    kept: list[Tensor],
    places: Tensor | None = None,
    layers: int = 0,
    keys: KeyTokens | None = None,
) -> BlockGradients:
    """Returns the gradients with respect to the rows and to all learned tokens.

    Args:
        gradient: gradient with respect to the output, (pairs, width).
        chunk: the prompt and tile of each row.
        blocks: the tower's weights.
        kept: the tensors that `run_blocks` saved; this function removes them from the list.
        places: the rows that were replaced before blocks 1 to `layers`; None without any.
        layers: the number of blocks with such tokens.
        keys: the learned keys and values of the blocks, or None.
    """
    replaced: list[Tensor] = []  # gradients of the tokens of the last of these blocks first
    of_keys = KeyGradients(keys)
    block, width = blocks[-1], gradient.shape[1]
    heads, dtype = block.heads, block.qkv.dtype
    index = TileIndex.at_ends(chunk, heads, dtype)
    at_ends = _second_half_backward(block, gradient, kept)
    d_mixed = _with_empty_row(at_ends, block.out.t())
    beside = keys_beside(keys, len(blocks) - 1, block)
    found = attend_backward(d_mixed, index, chunk, _pop(kept, 4), beside)
    assert found.queries is not None
    of_keys.add(len(blocks) - 1, block, beside, found)
    d_normed = torch.mm(found.rows, block.qkv[:, width:].t())
    d_normed.index_add_(0, chunk.ends, torch.mm(found.queries, block.qkv[:, :width].t()))
    gradient = norm_backward(block.norm_1, d_normed, _pop(kept, 3))
    gradient.index_add_(0, chunk.ends, at_ends)
    _take_replaced(gradient, len(blocks) - 1, places, layers, replaced)
    gradient = back_through_whole(
        gradient, chunk, blocks[:-1], kept, places, layers, replaced, of_keys
    )
    d_deep = torch.stack(replaced[::-1]) if replaced else None
    return BlockGradients(gradient, d_deep, of_keys.tokens, of_keys.shares)


def back_through_whole(
    gradient: Tensor,
    chunk: Chunk,
    blocks: Sequence[BlockWeights],
    kept: list[Tensor],
    places: Tensor | None,
    layers: int,
    replaced: list[Tensor],
    of_keys: KeyGradients | None = None,
) -> Tensor:
    """Returns the gradient (rows, width) of the input of `run_whole_blocks` from its output's.

    The arguments are those of `back_through`; the gradients of the tokens in `places` are added to
    `replaced`, those of the last block first, and those of learned keys and values to `of_keys`.
    """
    if not blocks:
        return gradient
    of_keys = of_keys or KeyGradients(None)
    index = TileIndex.from_chunk(chunk, blocks[0].heads, blocks[0].qkv.dtype)
    for number, block in reversed(list(enumerate(blocks))):
        gradient = _second_half_backward(block, gradient, kept)
        d_mixed = _with_empty_row(gradient, block.out.t())
        beside = keys_beside(of_keys.keys, number, block)
        found = attend_backward(d_mixed, index, chunk, _pop(kept, 4), beside)
        of_keys.add(number, block, beside, found)
        d_normed = torch.mm(found.rows, block.qkv.t())
        gradient = gradient.add_(norm_backward(block.norm_1, d_normed, _pop(kept, 3)))
        _take_replaced(gradient, number, places, layers, replaced)
    return gradient


def _replaced(x: Tensor, number: int, places: Tensor | None, deep: Tensor | None) -> Tensor:
    """Returns a block's input with the block's learned tokens, if it has any."""
    if places is None or deep is None or not 0 < number <= len(deep):
        return x
    return x.index_copy(0, places, deep[number - 1])


def _take_replaced(
    gradient: Tensor, number: int, places: Tensor | None, layers: int, learned: list[Tensor]
) -> None:
    """Moves the gradient of a block's learned tokens from that of its input to a list."""
    if places is None or not 0 < number <= layers:
        return
    learned.append(gradient[places])
    gradient.index_fill_(0, places, 0.0)


def _second_half(block: BlockWeights, x: Tensor, mixed: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Returns a block's output after its attention, and tensors for the backward pass."""
    middle = _plus(x, block.out_bias, mixed, block.out)
    normed, *moments = norm_forward(block.norm_2, middle, block.up.dtype)
    # QuickGELU is silu(1.702 h) / 1.702: one pass over the data, and only its input is saved.
    scale = QUICK if block.quick else 1.0
    hidden = torch.addmm(block.up_bias, normed, block.up, beta=scale, alpha=scale)
    active = aten.silu(hidden) if block.quick else aten.gelu(hidden)
    output = _plus(middle, block.down_bias, active, block.down, 1 / scale)
    return output, [*moments, hidden]


def _second_half_backward(block: BlockWeights, gradient: Tensor, kept: list[Tensor]) -> Tensor:
    """Returns the gradient with respect to `x` of `_second_half`.

    The gradient with respect to `mixed` is this one times the transposed `block.out`.
    """
    hidden = kept.pop()
    d_hidden = _mm(gradient, block.down.t())
    if block.quick:
        # The scales 1 / 1.702 and 1.702 of the two products cancel out.
        d_hidden = aten.silu_backward.grad_input(d_hidden, hidden, grad_input=d_hidden)
    else:
        d_hidden = aten.gelu_backward.grad_input(d_hidden, hidden, grad_input=d_hidden)
    d_normed = torch.mm(d_hidden, block.up.t())
    return norm_backward(block.norm_2, d_normed, _pop(kept, 3)).add_(gradient)


def _plus(x: Tensor, bias: Tensor, inputs: Tensor, weight: Tensor, scale: float = 1.0) -> Tensor:
    """Returns x + scale * inputs @ weight + bias, in x's dtype."""
    if inputs.dtype == x.dtype:
        return torch.addmm(x, inputs, weight, alpha=scale).add_(bias)
    return x + torch.addmm(bias, inputs, weight, alpha=scale)


def _mm(gradient: Tensor, weight: Tensor) -> Tensor:
    return torch.mm(gradient.to(weight.dtype), weight)


def _with_empty_row(gradient: Tensor, weight: Tensor) -> Tensor:
    """Returns gradient @ weight, followed by a row of zeros."""
    result = weight.new_empty(len(gradient) + 1, weight.shape[1])
    torch.mm(gradient.to(weight.dtype), weight, out=result[:-1])
    result[-1] = 0
    return result


def _pop(kept: list[Tensor], count: int) -> list[Tensor]:
    """Removes the last tensors from the list and returns them."""
    taken = kept[-count:]
    del kept[-count:]
    return taken
