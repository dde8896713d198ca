"""The frozen text tower's blocks over tiles of prompts, with a hand-written backward pass.

The weights need no gradients, so the backward pass needs far fewer saved tensors than autograd
keeps. It can also run without any: then it encodes the chunk again. The residual stream is fp32;
matrix products and attention run in the dtype of the given weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from open_clip.transformer import LayerNorm, LayerNormFp32, LayerScale, QuickGELU
from open_clip.transformer import ResidualAttentionBlock as Block
from torch import Tensor, nn

from mocoop.prompt_encoder.tile_attention import TileIndex, attend, attend_backward
from mocoop.prompt_encoder.tiles import Chunk

aten = torch.ops.aten
QUICK = 1.702  # QuickGELU is x * sigmoid(1.702 x)


@dataclass(frozen=True)
class BlockWeights:
    """One block's frozen weights in the dtype of the products; matrices are transposed."""

    heads: int
    norm_1: nn.LayerNorm
    qkv: Tensor  # (width, 3 width)
    qkv_bias: Tensor  # (3 width,)
    out: Tensor  # (width, width)
    out_bias: Tensor  # (width,)
    norm_2: nn.LayerNorm
    up: Tensor  # (width, hidden)
    up_bias: Tensor  # (hidden,)
    down: Tensor  # (hidden, width)
    down_bias: Tensor  # (width,)
    quick: bool  # QuickGELU instead of GELU

    @classmethod
    def from_block(cls, block: Block, dtype: torch.dtype) -> BlockWeights:
        """Returns a block's weights in a dtype; views if they have this dtype already."""
        attention, up, down = block.attn, block.mlp.c_fc, block.mlp.c_proj
        out, out_bias = _scaled(attention.out_proj, block.ls_1)
        down_weight, down_bias = _scaled(down, block.ls_2)
        cast = lambda value: value.detach().to(dtype)
        return cls(
            attention.num_heads,
            block.ln_1,
            cast(attention.in_proj_weight).t(),
            cast(_bias(attention.in_proj_bias, attention.in_proj_weight)),
            cast(out).t(),
            cast(out_bias),
            block.ln_2,
            cast(up.weight).t(),
            cast(_bias(up.bias, up.weight)),
            cast(down_weight).t(),
            cast(down_bias),
            isinstance(block.mlp.gelu, QuickGELU),
        )


class CastBlocks:
    """The weights of a frozen tower's blocks, cast once to each dtype that is asked for."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks = tuple(blocks)
        self._cast: dict[torch.dtype, list[BlockWeights]] = {}

    def weights(self, dtype: torch.dtype) -> list[BlockWeights]:
        """Returns the blocks' weights in a dtype; views if it is the tower's own dtype."""
        if dtype not in self._cast:
            self._cast[dtype] = [BlockWeights.from_block(block, dtype) for block in self._blocks]
        return self._cast[dtype]


def is_supported(block: Any) -> bool:
    """Returns whether the hand-written passes compute exactly what this block computes."""
    if type(block) is not Block or not isinstance(block.attn, nn.MultiheadAttention):
        return False
    attention = block.attn
    plain = attention.bias_k is None and not attention.add_zero_attn and attention.dropout == 0
    same = attention._qkv_same_embed_dim and attention.in_proj_weight is not None
    gelu = block.mlp.gelu
    known = type(gelu) is QuickGELU or (type(gelu) is nn.GELU and gelu.approximate == "none")
    norms = all(
        type(norm) in (LayerNorm, LayerNormFp32, nn.LayerNorm) for norm in (block.ln_1, block.ln_2)
    )
    return plain and same and known and norms


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
        """
        # Every product runs in the weights' dtype; autocast would change some of them.
        with torch.autocast(rows.device.type, enabled=False):
            output, kept = run_blocks(rows, chunk, blocks, keep, places, deep)
        ctx.chunk, ctx.blocks, ctx.keep, ctx.places = chunk, blocks, keep, places
        ctx.layers = 0 if deep is None else len(deep)
        needed = kept if keep else [rows] if deep is None else [rows, deep]
        ctx.save_for_backward(*needed)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients with respect to the rows and to the later blocks' tokens."""
        kept = list(ctx.saved_tensors)
        with torch.autocast(gradient.device.type, enabled=False):
            if not ctx.keep:
                rows, deep = kept if ctx.layers else (kept[0], None)
                _, kept = run_blocks(rows, ctx.chunk, ctx.blocks, True, ctx.places, deep)
            d_rows, d_deep = back_through(
                gradient, ctx.chunk, ctx.blocks, kept, ctx.places, ctx.layers
            )
        return d_rows, None, None, None, None, d_deep


def kept_bytes(chunk: Chunk, blocks: Sequence[BlockWeights], whole: bool = False) -> int:
    """Returns the number of bytes that `run_blocks` saves for a chunk's backward pass.

    With `whole` it is the number of `run_whole_blocks`.
    """
    width, hidden = blocks[0].up.shape
    size, heads = blocks[0].up.element_size(), blocks[0].heads
    keys = chunk.keys.shape[1]

    def block_bytes(queries: int, mixed: int) -> int:
        norms = 4 * (chunk.rows + mixed) * (width + 2)
        attention = queries * (width + heads * keys) + 2 * chunk.keys.numel() * width
        return norms + size * (attention + mixed * hidden)

    full = block_bytes(chunk.slots.numel(), chunk.rows)
    if whole:
        return len(blocks) * full
    return (len(blocks) - 1) * full + block_bytes(chunk.end_slots.numel(), len(chunk.ends))


def run_blocks(
    rows: Tensor,
    chunk: Chunk,
    blocks: Sequence[BlockWeights],
    keep: bool,
    places: Tensor | None = None,
    deep: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Returns the output at each [EOS] (pairs, width), and tensors for the backward pass.

    The arguments are those of `FrozenBlocks`.
    """
    heads, dtype, width = blocks[0].heads, blocks[0].qkv.dtype, rows.shape[1]
    x, kept = run_whole_blocks(rows, chunk, blocks[:-1], keep, places, deep)
    # Only the output at [EOS] of the last block is used.
    block, index = blocks[-1], TileIndex.at_ends(chunk, heads, dtype)
    x = _replaced(x, len(blocks) - 1, places, deep)
    normed, *moments_1 = _norm(block.norm_1, x, dtype)
    keys_values = torch.addmm(block.qkv_bias[width:], normed, block.qkv[:, width:])
    queries = torch.addmm(block.qkv_bias[:width], normed[chunk.ends], block.qkv[:, :width])
    mixed, parts = attend(keys_values, index, width // heads, queries)
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
) -> tuple[Tensor, list[Tensor]]:
    """Returns the output of blocks in all rows (rows, width), and what the backward pass needs.

    The arguments are those of `FrozenBlocks`.
    """
    kept: list[Tensor] = []
    if not blocks:
        return rows, kept
    heads, dtype, width = blocks[0].heads, blocks[0].qkv.dtype, rows.shape[1]
    index = TileIndex.from_chunk(chunk, heads, dtype)
    x = rows
    for number, block in enumerate(blocks):
        x = _replaced(x, number, places, deep)
        normed, *moments_1 = _norm(block.norm_1, x, dtype)
        qkv = torch.addmm(block.qkv_bias, normed, block.qkv)
        mixed, parts = attend(qkv, index, width // heads)
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
) -> tuple[Tensor, Tensor | None]:
    """Returns the gradients with respect to the rows (rows, width) and to the learned tokens.

    Args:
        gradient: gradient with respect to the output, (pairs, width).
        chunk: the prompt and tile of each row.
        blocks: the tower's weights.
        kept: the tensors that `run_blocks` saved; this function removes them from the list.
        places: the rows that were replaced before blocks 1 to `layers`; None without any.
        layers: the number of blocks with such tokens.

    Returns:
        The gradients (rows, width), and (layers, tokens, width), or None without learned tokens.
    """
    learned: list[Tensor] = []  # gradients of the tokens of the last of these blocks first
    block, width = blocks[-1], gradient.shape[1]
    heads, dtype = block.heads, block.qkv.dtype
    index = TileIndex.at_ends(chunk, heads, dtype)
    at_ends = _second_half_backward(block, gradient, kept)
    d_mixed = _with_empty_row(at_ends, block.out.t())
    d_keys_values, d_queries = attend_backward(d_mixed, index, chunk, _pop(kept, 4))
    assert d_queries is not None
    d_normed = torch.mm(d_keys_values, block.qkv[:, width:].t())
    d_normed.index_add_(0, chunk.ends, torch.mm(d_queries, block.qkv[:, :width].t()))
    gradient = _norm_backward(block.norm_1, d_normed, _pop(kept, 3))
    gradient.index_add_(0, chunk.ends, at_ends)
    _take_replaced(gradient, len(blocks) - 1, places, layers, learned)
    gradient = back_through_whole(gradient, chunk, blocks[:-1], kept, places, layers, learned)
    return gradient, torch.stack(learned[::-1]) if learned else None


def back_through_whole(
    gradient: Tensor,
    chunk: Chunk,
    blocks: Sequence[BlockWeights],
    kept: list[Tensor],
    places: Tensor | None,
    layers: int,
    learned: list[Tensor],
) -> Tensor:
    """Returns the gradient (rows, width) of the input of `run_whole_blocks` from its output's.

    The arguments are those of `back_through`; the gradients of the learned tokens are added to
    `learned`, those of the last block first.
    """
    if not blocks:
        return gradient
    index = TileIndex.from_chunk(chunk, blocks[0].heads, blocks[0].qkv.dtype)
    for number, block in reversed(list(enumerate(blocks))):
        gradient = _second_half_backward(block, gradient, kept)
        d_mixed = _with_empty_row(gradient, block.out.t())
        d_qkv, _ = attend_backward(d_mixed, index, chunk, _pop(kept, 4))
        d_normed = torch.mm(d_qkv, block.qkv.t())
        gradient = gradient.add_(_norm_backward(block.norm_1, d_normed, _pop(kept, 3)))
        _take_replaced(gradient, number, places, layers, learned)
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


def _bias(bias: Tensor | None, weight: Tensor) -> Tensor:
    """Returns a layer's bias; zeros if it has none."""
    return weight.new_zeros(len(weight)) if bias is None else bias


def _scaled(linear: nn.Linear, scale: nn.Module) -> tuple[Tensor, Tensor]:
    """Returns weight and bias of a linear layer, multiplied by the LayerScale after it."""
    weight, bias = linear.weight.detach(), _bias(linear.bias, linear.weight).detach()
    if isinstance(scale, LayerScale):
        gamma = scale.gamma.detach()
        return gamma[:, None] * weight, gamma * bias
    return weight, bias


def _second_half(block: BlockWeights, x: Tensor, mixed: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Returns a block's output after its attention, and tensors for the backward pass."""
    middle = _plus(x, block.out_bias, mixed, block.out)
    normed, *moments = _norm(block.norm_2, middle, block.up.dtype)
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
    return _norm_backward(block.norm_2, d_normed, _pop(kept, 3)).add_(gradient)


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


def _norm(
    norm: nn.LayerNorm, x: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the normed rows, and x, means and inverse standard deviations for the backward."""
    normed, mean, inverse = torch.native_layer_norm(
        x, norm.normalized_shape, norm.weight, norm.bias, norm.eps
    )
    return normed.to(dtype), x, mean, inverse


def _norm_backward(norm: nn.LayerNorm, gradient: Tensor, kept: Sequence[Tensor]) -> Tensor:
    """Returns the gradient with respect to the LayerNorm's input, fp32."""
    x, mean, inverse = kept
    gradients = aten.native_layer_norm_backward(
        gradient.to(x.dtype), x, norm.normalized_shape, mean, inverse, norm.weight, norm.bias,
        [True, False, False],
    )  # fmt: skip
    return gradients[0]


def _pop(kept: list[Tensor], count: int) -> list[Tensor]:
    """Removes the last tensors from the list and returns them."""
    taken = kept[-count:]
    del kept[-count:]
    return taken
