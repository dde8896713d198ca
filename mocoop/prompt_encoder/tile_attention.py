"""Attention within tiles and to their expert's prefix, and its backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.prompt_encoder.tiles import Chunk

aten = torch.ops.aten


@dataclass(frozen=True)
class TileIndex:
    """Indices that move each head's part of a row into its tile and back.

    A tensor (rows, heads * size) is seen as parts (rows * heads, size), one part per row and
    head. One `index_select` moves all parts at once, from rows to tiles and heads, or back.
    """

    queries: Tensor  # (tiles * heads * width,), into the parts of queries, keys and values
    keys: Tensor  # (tiles * heads * (prefix + width),), into the same parts
    values: Tensor  # like keys
    mixed: Tensor  # (rows * heads,), into the parts of tiles
    incoming: Tensor  # (tiles * heads * width,), into the parts of rows and one empty row
    gradients: Tensor  # (rows * parts * heads,), into the tiles' queries, keys and values
    mask: Tensor  # (tiles * heads, width, prefix + width), 0 or -inf, added to scores

    @classmethod
    def from_chunk(cls, chunk: Chunk, heads: int, dtype: torch.dtype) -> TileIndex:
        """Returns the indices for queries in all rows."""
        return cls._build(chunk, heads, dtype, 3, chunk.slots, chunk.row_slot, chunk.hidden)

    @classmethod
    def at_ends(cls, chunk: Chunk, heads: int, dtype: torch.dtype) -> TileIndex:
        """Returns the indices for queries only at [EOS], which are in a separate tensor.

        Slots without an [EOS] see all keys; their results are not used.
        """
        hidden = chunk.hidden.new_zeros(chunk.end_slots.numel(), chunk.hidden.shape[2])
        hidden[chunk.pair_slot] = chunk.hidden.flatten(0, 1)[chunk.row_slot[chunk.ends]]
        hidden = hidden.view(*chunk.end_slots.shape, -1)
        return cls._build(chunk, heads, dtype, 2, chunk.end_slots, chunk.pair_slot, hidden)

    @classmethod
    def _build(
        cls,
        chunk: Chunk,
        heads: int,
        dtype: torch.dtype,
        parts: int,
        slots: Tensor,
        row_slot: Tensor,
        hidden: Tensor,
    ) -> TileIndex:
        """Returns the indices for queries in the given slots (tiles, width).

        `parts` is 3 if the projected rows hold queries, keys and values, or 2 if they hold only
        keys and values, and the queries are in a separate tensor.
        """
        head = torch.arange(heads, device=slots.device)
        tiles, width = slots.shape
        keys, filled = chunk.keys.shape[1], slots.clamp(max=len(row_slot) - 1)

        def by_tile(rows: Tensor, stride: int, part: int) -> Tensor:
            """Returns the parts (tiles, heads, slots) of rows (tiles, slots)."""
            return ((rows[:, None] * stride + part) * heads + head[:, None]).flatten()

        def by_row(slot: Tensor, tile_slots: int) -> Tensor:
            """Returns the parts (rows, heads) of slots in tiles of `tile_slots` slots."""
            tile, offset = slot[:, None] // tile_slots, slot[:, None] % tile_slots
            return (tile * heads + head) * tile_slots + offset

        mixed = by_row(row_slot, width)
        # In a tile, a row's own key comes after the keys of its expert's prefix.
        tile_slots = chunk.slots.shape[1]
        tile, offset = chunk.row_slot // tile_slots, chunk.row_slot % tile_slots
        to_keys = tiles * heads * width + by_row(tile * keys + chunk.prefix + offset, keys)
        gradients = [to_keys, to_keys + tiles * heads * keys]
        if parts == 3:
            gradients = [mixed, *gradients]
        mask = torch.zeros(hidden.shape, dtype=dtype, device=slots.device)
        mask = mask.masked_fill_(hidden, float("-inf"))[:, None]
        return cls(
            by_tile(filled, 3 if parts == 3 else 1, 0),
            by_tile(chunk.keys, parts, parts - 2),
            by_tile(chunk.keys, parts, parts - 1),
            mixed.flatten(),
            by_tile(slots, 1, 0),
            torch.stack(gradients, dim=1).flatten(),
            mask.expand(-1, heads, -1, -1).reshape(-1, *hidden.shape[1:]),
        )


def attend(
    projected: Tensor, index: TileIndex, size: int, queries: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Returns the output of attention, and the 4 tensors for its backward pass.

    Args:
        projected: queries, keys and values (rows, 3 width); only keys and values (rows, 2 width)
            if the queries are given separately.
        index: the indices that move rows into tiles.
        size: the size of a head.
        queries: queries only at [EOS], (pairs, width); the output then has one row per pair.
    """
    parts = projected.view(-1, size)
    query_parts = parts if queries is None else queries.view(-1, size)
    groups = len(index.mask)  # tiles * heads
    scaled = query_parts.index_select(0, index.queries).view(groups, -1, size).mul_(size**-0.5)
    keys = parts.index_select(0, index.keys).view(groups, -1, size)
    values = parts.index_select(0, index.values).view(groups, -1, size)
    weights = torch.baddbmm(index.mask, scaled, keys.transpose(1, 2)).softmax(dim=-1)
    mixed = torch.bmm(weights, values).view(-1, size).index_select(0, index.mixed)
    width = projected.shape[1] // 3 if queries is None else queries.shape[1]
    return mixed.view(-1, width), [scaled, keys, values, weights]


def attend_backward(
    gradient: Tensor, index: TileIndex, chunk: Chunk, kept: Sequence[Tensor]
) -> tuple[Tensor, Tensor | None]:
    """Returns the gradients with respect to `projected` and to the queries, if given separately.

    Args:
        gradient: gradient with respect to the output of `attend`, then one row of zeros for
            empty slots; (rows + 1, width) or (pairs + 1, width).
        index: the indices that `attend` was called with.
        chunk: the prompt and tile of each row.
        kept: the tensors that `attend` returned for the backward pass.
    """
    scaled, keys, values, weights = kept
    groups, width, size = scaled.shape
    incoming = gradient.view(-1, size).index_select(0, index.incoming).view(scaled.shape)
    query_count, key_count = groups * width, groups * keys.shape[1]
    buffer = gradient.new_empty(query_count + 2 * key_count, size)
    d_queries, d_keys, d_values = (
        part.view(groups, -1, size) for part in buffer.split([query_count, key_count, key_count])
    )
    torch.bmm(weights.transpose(1, 2), incoming, out=d_values)
    d_weights = torch.bmm(incoming, values.transpose(1, 2))
    d_scores = aten._softmax_backward_data(d_weights, weights, -1, weights.dtype)
    torch.bmm(d_scores, keys, out=d_queries).mul_(size**-0.5)
    torch.bmm(d_scores.transpose(1, 2), scaled, out=d_keys)

    tiles, model_width = len(chunk.slots), gradient.shape[1]
    rows = buffer.index_select(0, index.gradients).view(chunk.rows, -1)
    # All tiles of an expert see its prefix, so their gradients are summed. A matrix product sums
    # them in a fixed order.
    owner = F.one_hot(chunk.tile_expert, chunk.experts).to(buffer.dtype).t()
    for offset, part in ((-2 * model_width, d_keys), (-model_width, d_values)):
        of_prefix = part.view(tiles, -1, keys.shape[1], size)[:, :, : chunk.prefix]
        summed = owner @ of_prefix.reshape(tiles, -1)
        summed = summed.view(chunk.experts, -1, chunk.prefix, size).transpose(1, 2)
        summed = summed.reshape(-1, model_width)[chunk.prefix_positions]
        start = rows.shape[1] + offset
        rows[:, start : start + model_width].index_add_(0, chunk.prefix_rows, summed)
    if rows.shape[1] == 3 * model_width:
        return rows, None
    return rows, buffer.index_select(0, index.mixed).view(-1, model_width)
