"""Attention of tiles to their expert's prefix and to themselves, and its backward pass."""

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
    """Where a head's part of a row is found and goes; parts are rows of (rows * heads, size).

    Everything is moved in one pass, from packed rows to tiles by head, and back.
    """

    queries: Tensor  # (tiles * heads * width,), among parts of queries, keys and values
    keys: Tensor  # (tiles * heads * (prefix + width),), likewise
    values: Tensor
    mixed: Tensor  # (rows * heads,), among parts of tiles
    incoming: Tensor  # (tiles * heads * width,), among parts of rows and one empty row
    gradients: Tensor  # (rows * parts * heads,), among the tiles' queries, keys and values
    mask: Tensor  # (tiles * heads, width, prefix + width), 0 or -inf, added to scores

    @classmethod
    def from_chunk(cls, chunk: Chunk, heads: int, dtype: torch.dtype) -> TileIndex:
        """Returns where the parts of all rows go."""
        return cls._of(chunk, heads, dtype, 3, chunk.slots, chunk.row_slot, chunk.hidden)

    @classmethod
    def at_ends(cls, chunk: Chunk, heads: int, dtype: torch.dtype) -> TileIndex:
        """Returns the same for queries at [EOS] alone, which stand in rows of their own.

        Places without an [EOS] see everything; nothing reads what they see.
        """
        hidden = chunk.hidden.new_zeros(chunk.end_slots.numel(), chunk.hidden.shape[2])
        hidden[chunk.pair_slot] = chunk.hidden.flatten(0, 1)[chunk.row_slot[chunk.ends]]
        hidden = hidden.view(*chunk.end_slots.shape, -1)
        return cls._of(chunk, heads, dtype, 2, chunk.end_slots, chunk.pair_slot, hidden)

    @classmethod
    def _of(
        cls,
        chunk: Chunk,
        heads: int,
        dtype: torch.dtype,
        parts: int,
        slots: Tensor,
        row_slot: Tensor,
        hidden: Tensor,
    ) -> TileIndex:
        """Returns the index for queries in these slots (tiles, width).

        Parts are 3, with the queries among the projected rows, or 2, with queries apart.
        """
        head = torch.arange(heads, device=slots.device)
        tiles, width = slots.shape
        keys, filled = chunk.keys.shape[1], slots.clamp(max=len(row_slot) - 1)

        def by_tile(rows: Tensor, stride: int, part: int) -> Tensor:
            """Returns the parts (tiles, heads, places) of rows (tiles, places)."""
            return ((rows[:, None] * stride + part) * heads + head[:, None]).flatten()

        def by_row(slot: Tensor, places: int) -> Tensor:
            """Returns the parts (rows, heads) of places in tiles of so many places."""
            tile, place = slot[:, None] // places, slot[:, None] % places
            return (tile * heads + head) * places + place

        mixed = by_row(row_slot, width)
        # A row's own key follows the keys of its expert's prefix.
        tile, place = chunk.row_slot // chunk.slots.shape[1], chunk.row_slot % chunk.slots.shape[1]
        to_keys = tiles * heads * width + by_row(tile * keys + chunk.prefix + place, keys)
        found = [to_keys, to_keys + tiles * heads * keys]
        if parts == 3:
            found = [mixed, *found]
        mask = torch.zeros(hidden.shape, dtype=dtype, device=slots.device)
        mask = mask.masked_fill_(hidden, float("-inf"))[:, None]
        return cls(
            by_tile(filled, 3 if parts == 3 else 1, 0),
            by_tile(chunk.keys, parts, parts - 2),
            by_tile(chunk.keys, parts, parts - 1),
            mixed.flatten(),
            by_tile(slots, 1, 0),
            torch.stack(found, dim=1).flatten(),
            mask.expand(-1, heads, -1, -1).reshape(-1, *hidden.shape[1:]),
        )


def attend(
    projected: Tensor, index: TileIndex, size: int, queries: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Returns what attention mixes, and the 4 tensors that its backward pass needs.

    Args:
        projected: queries, keys and values (rows, 3 width); keys and values (rows, 2 width)
            if the queries are given.
        index: where they go.
        size: of a head.
        queries: (pairs, width), at [EOS] alone; the result then has their rows.
    """
    parts = projected.view(-1, size)
    asked_parts = parts if queries is None else queries.view(-1, size)
    groups = len(index.mask)  # tiles * heads
    asked = asked_parts.index_select(0, index.queries).view(groups, -1, size).mul_(size**-0.5)
    keys = parts.index_select(0, index.keys).view(groups, -1, size)
    values = parts.index_select(0, index.values).view(groups, -1, size)
    weights = torch.baddbmm(index.mask, asked, keys.transpose(1, 2)).softmax(dim=-1)
    mixed = torch.bmm(weights, values).view(-1, size).index_select(0, index.mixed)
    width = projected.shape[1] // 3 if queries is None else queries.shape[1]
    return mixed.view(-1, width), [asked, keys, values, weights]


def attend_backward(
    gradient: Tensor, index: TileIndex, chunk: Chunk, kept: Sequence[Tensor]
) -> tuple[Tensor, Tensor | None]:
    """Returns the gradients with respect to `projected` and, at [EOS], to the queries.

    Args:
        gradient: with respect to what was mixed, and one row of zeros for empty places,
            (rows + 1, width) or (pairs + 1, width).
        index: the same as before.
        chunk: where each row belongs.
        kept: what `attend` kept.
    """
    asked, keys, values, weights = kept
    groups, width, size = asked.shape
    incoming = gradient.view(-1, size).index_select(0, index.incoming).view(asked.shape)
    count, key_count = groups * width, groups * keys.shape[1]
    found = gradient.new_empty(count + 2 * key_count, size)
    d_queries, d_keys, d_values = (
        part.view(groups, -1, size) for part in found.split([count, key_count, key_count])
    )
    torch.bmm(weights.transpose(1, 2), incoming, out=d_values)
    d_weights = torch.bmm(incoming, values.transpose(1, 2))
    d_scores = aten._softmax_backward_data(d_weights, weights, -1, weights.dtype)
    torch.bmm(d_scores, keys, out=d_queries).mul_(size**-0.5)
    torch.bmm(d_scores.transpose(1, 2), asked, out=d_keys)

    tiles, whole = len(chunk.slots), gradient.shape[1]
    rows = found.index_select(0, index.gradients).view(chunk.rows, -1)
    # All tiles of an expert see its prefix: a sum in a fixed order, hence a product.
    owner = F.one_hot(chunk.tile_expert, chunk.experts).to(found.dtype).t()
    for offset, part in ((-2 * whole, d_keys), (-whole, d_values)):
        seen = part.view(tiles, -1, keys.shape[1], size)[:, :, : chunk.prefix]
        summed = (owner @ seen.reshape(tiles, -1)).view(chunk.experts, -1, chunk.prefix, size)
        summed = summed.transpose(1, 2).reshape(-1, whole)[chunk.prefix_places]
        start = rows.shape[1] + offset
        rows[:, start : start + whole].index_add_(0, chunk.prefix_rows, summed)
    if rows.shape[1] == 3 * whole:
        return rows, None
    return rows, found.index_select(0, index.mixed).view(-1, whole)
