"""Attention of classes' own tokens to their expert's shared prefix and to each other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor

from mocoop.packing import PromptBatch


def keys_values(block: ResidualAttentionBlock, x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the block's keys and values of x (batch, tokens, width), same shape."""
    attention, width = block.attn, x.shape[-1]
    bias = None if attention.in_proj_bias is None else attention.in_proj_bias[width:]
    projected = F.linear(block.ln_1(x), attention.in_proj_weight[width:], bias)
    keys, values = projected.chunk(2, dim=-1)
    return keys, values


def own_block(
    block: ResidualAttentionBlock,
    x: Tensor,
    prefix_kv: tuple[Tensor, Tensor],
    prompts: PromptBatch,
    only_ends: bool = False,
) -> Tensor:
    """Returns one block's output for the classes' own tokens.

    Linear layers run on packed tokens; only attention is padded, to the longest pair.

    Args:
        block: the transformer block.
        x: packed own tokens, (tokens, width).
        prefix_kv: the experts' prefix keys and values, each (experts, prefix, width).
        prompts: where each token belongs.
        only_ends: compute queries and the rest at [EOS] alone; returns (pairs, width).
    """
    experts, classes = prompts.shape
    width, heads = x.shape[-1], block.attn.num_heads
    longest = int(prompts.lengths.max())
    slot = prompts.pair * longest + prompts.offset  # (tokens,), place in the padded grid
    attention = block.attn
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    normed = block.ln_1(x)
    if only_ends:
        kept = prompts.lengths.cumsum(0) - 1  # (pairs,), where [EOS] stands
        query = F.linear(normed[kept], weight[:width], None if bias is None else bias[:width])
        keys_values = F.linear(normed, weight[width:], None if bias is None else bias[width:])
        steps, x, queries = 1, x[kept], query
        slots = torch.arange(experts * classes, device=x.device)
    else:
        projected = F.linear(normed, weight, bias)
        queries, keys_values = projected[:, :width], projected[:, width:]
        steps, slots = longest, slot
    padded_kv = keys_values.new_zeros(experts * classes * longest, 2 * width)
    padded_kv = padded_kv.index_copy(0, slot, keys_values)
    keys, values = padded_kv.view(experts, classes, longest, 2, heads, -1).unbind(3)
    grid = queries.new_zeros(experts * classes * steps, width).index_copy(0, slots, queries)
    grid = grid.view(experts, classes, steps, heads, -1)
    mixed = _attend(grid, keys, values, prefix_kv, prompts, only_ends)
    mixed = mixed.reshape(-1, width)[slots]  # packed again
    x = x + block.ls_1(attention.out_proj(mixed))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def _attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    prefix_kv: tuple[Tensor, Tensor],
    prompts: PromptBatch,
    only_ends: bool,
) -> Tensor:
    """Returns attention over the expert's prefix and the pair's own tokens together.

    Args:
        queries: (experts, classes, steps, heads, head dim).
        keys: own keys, (experts, classes, longest, heads, head dim); values alike.
        prefix_kv: prefix keys and values, each (experts, prefix, width).
        prompts: lengths of prefixes and pairs.
        only_ends: each pair's one query stands at its [EOS].
    """
    experts, classes, steps, heads, size = queries.shape
    longest = keys.shape[2]
    prefix_keys, prefix_values = (
        part.view(experts, -1, heads, size).transpose(1, 2) for part in prefix_kv
    )  # (experts, heads, prefix, head dim)
    prefix = prefix_keys.shape[2]
    by_head = queries.permute(0, 3, 1, 2, 4)  # (experts, heads, classes, steps, head dim)
    to_prefix = by_head.flatten(2, 3) @ prefix_keys.transpose(2, 3)
    to_prefix = to_prefix.view(experts, heads, classes, steps, prefix)
    own_keys = keys.permute(0, 3, 1, 4, 2)  # (experts, heads, classes, head dim, longest)
    to_own = by_head @ own_keys  # (experts, heads, classes, steps, longest)

    place = torch.arange(prefix, device=queries.device)
    beyond_prefix = place >= 1 + prompts.before_lengths[:, None]  # (experts, prefix)
    to_prefix = to_prefix.masked_fill(beyond_prefix[:, None, None, None], float("-inf"))
    column = torch.arange(longest, device=queries.device)
    if only_ends:
        hidden = column >= prompts.lengths.view(experts, 1, classes, 1, 1)
    else:
        hidden = column > column[:, None]  # (steps, longest)
    to_own = to_own.masked_fill(hidden, float("-inf"))

    weights = (torch.cat([to_prefix, to_own], dim=-1) * size**-0.5).softmax(dim=-1)
    from_prefix = weights[..., :prefix].flatten(2, 3) @ prefix_values
    from_own = weights[..., prefix:] @ values.permute(0, 3, 1, 2, 4)
    mixed = from_prefix.view(experts, heads, classes, steps, size) + from_own
    return mixed.permute(0, 2, 3, 1, 4)  # (experts, classes, steps, heads, head dim)
