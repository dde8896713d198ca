"""The frozen weights of a text tower's blocks, and their LayerNorms forward and backward."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from open_clip.transformer import LayerNorm, LayerNormFp32, LayerScale, QuickGELU
from open_clip.transformer import ResidualAttentionBlock as Block
from torch import Tensor, nn

aten = torch.ops.aten


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


def norm_forward(
    norm: nn.LayerNorm, x: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the normed rows, and x, means and inverse standard deviations for the backward."""
    normed, mean, inverse = torch.native_layer_norm(
        x, norm.normalized_shape, norm.weight, norm.bias, norm.eps
    )
    return normed.to(dtype), x, mean, inverse


def norm_backward(norm: nn.LayerNorm, gradient: Tensor, kept: Sequence[Tensor]) -> Tensor:
    """Returns the gradient with respect to the LayerNorm's input, fp32."""
    x, mean, inverse = kept
    gradients = aten.native_layer_norm_backward(
        gradient.to(x.dtype), x, norm.normalized_shape, mean, inverse, norm.weight, norm.bias,
        [True, False, False],
    )  # fmt: skip
    return gradients[0]


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
