"""Attention within tiles and to their expert's prefix, and its backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.prompt_encoder.key_tokens import merged_softmax, merged_softmax_backward
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


@dataclass(frozen=True)
class Beside:
    """Keys and values of a block that all tokens of all tiles see."""

    keys: Tensor  # (heads, tokens, size)
    values: Tensor  # (heads, tokens, size)
    lengths: tuple[int, ...] = ()
    """With `shares`: the number of tokens of each candidate, one candidate after the other."""
    shares: Tensor | None = None
    """The weights of no such tokens and of each candidate; None if all tokens belong together."""
    moments: tuple[Tensor, ...] = ()
    """What the gradient of the tokens needs of the LayerNorm before the projection."""

    @classmethod
    def from_rows(
        cls,
        rows: Tensor,
        heads: int,
        lengths: tuple[int, ...],
        shares: Tensor | None,
        moments: tuple[Tensor, ...],
    ) -> Beside:
        """Returns the keys and values of projected tokens (tokens, 2 width)."""
        by_head = rows.view(len(rows), 2, heads, -1).permute(1, 2, 0, 3)
        return cls(by_head[0], by_head[1], lengths, shares, moments)

    @property
    def count(self) -> int:
        """The number of tokens."""
        return self.keys.shape[1]

    def after(self, own: Tensor, learned: Tensor) -> Tensor:
        """Returns the keys or values of tiles (tiles * heads, keys, size), then the learned ones.

        Args:
            own: those of the tiles.
            learned: `keys` or `values`.
        """
        tiles = len(own) // len(learned)
        return torch.cat([own, learned.repeat(tiles, 1, 1)], dim=1)

    def summed(self, gradient: Tensor) -> Tensor:
        """Returns the gradient (tokens, width) of keys or values from that of all tiles.

        Args:
            gradient: (tiles * heads, tokens, size).
        """
        by_tile = gradient.view(-1, *self.keys.shape)
        return by_tile.sum(dim=0).transpose(0, 1).flatten(1)


@dataclass(frozen=True)
class AttendGradients:
    """The gradients with respect to what `attend` took."""

    rows: Tensor
    """With respect to `projected`."""
    queries: Tensor | None
    """With respect to the queries, if they were given separately."""
    beside: Tensor | None = None
    """With respect to the learned keys and values, (tokens, 2 width)."""
    shares: Tensor | None = None
    """With respect to the weights of the candidates."""


def attend(
    projected: Tensor,
    index: TileIndex,
    size: int,
    queries: Tensor | None = None,
    beside: Beside | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Returns the output of attention, and the 4 tensors for its backward pass.

    Args:
        projected: queries, keys and values (rows, 3 width); only keys and values (rows, 2 width)
            if the queries are given separately.
        index: the indices that move rows into tiles.
        size: the size of a head.
        queries: queries only at [EOS], (pairs, width); the output then has one row per pair.
        beside: learned keys and values that all tokens see, or None.
    """
    parts = projected.view(-1, size)
    query_parts = parts if queries is None else queries.view(-1, size)
    groups = len(index.mask)  # tiles * heads
    scaled = query_parts.index_select(0, index.queries).view(groups, -1, size).mul_(size**-0.5)
    keys = parts.index_select(0, index.keys).view(groups, -1, size)
    values = parts.index_select(0, index.values).view(groups, -1, size)
    mask = index.mask
    if beside is not None:
        keys, values = beside.after(keys, beside.keys), beside.after(values, beside.values)
        mask = F.pad(mask, (0, beside.count))
    scores = torch.baddbmm(mask, scaled, keys.transpose(1, 2))
    if beside is None or beside.shares is None:
        kept = weights = scores.softmax(dim=-1)
    else:  # the weights are computed again for the backward pass
        kept = scores
        weights = merged_softmax(scores, beside.lengths, beside.shares).to(values.dtype)
    mixed = torch.bmm(weights, values).view(-1, size).index_select(0, index.mixed)
    width = projected.shape[1] // 3 if queries is None else queries.shape[1]
    return mixed.view(-1, width), [scaled, keys, values, kept]


def attend_backward(
    gradient: Tensor,
    index: TileIndex,
    chunk: Chunk,
    kept: Sequence[Tensor],
    beside: Beside | None = None,
) -> AttendGradients:
    """Returns the gradients with respect to what `attend` took.

    Args:
        gradient: gradient with respect to the output of `attend`, then one row of zeros for
            empty slots; (rows + 1, width) or (pairs + 1, width).
        index: the indices that `attend` was called with.
        chunk: the prompt and tile of each row.
        kept: the tensors that `attend` returned for the backward pass.
        beside: the learned keys and values that `attend` was called with.
    """
    scaled, keys, values, weights = kept
    learned = 0 if beside is None else beside.count
    own = keys.shape[1] - learned
    groups, width, size = scaled.shape
    incoming = gradient.view(-1, size).index_select(0, index.incoming).view(scaled.shape)
    query_count, key_count = groups * width, groups * own
    buffer = gradient.new_empty(query_count + 2 * key_count, size)
    d_queries, d_keys, d_values = (
        part.view(groups, -1, size) for part in buffer.split([query_count, key_count, key_count])
    )
    d_weights = torch.bmm(incoming, values.transpose(1, 2))
    d_shares = None
    if beside is None or beside.shares is None:
        d_scores = aten._softmax_backward_data(d_weights, weights, -1, weights.dtype)
    else:
        merged = merged_softmax_backward(d_weights, weights, beside.lengths, beside.shares)
        weights, d_scores, d_shares = merged[0].to(keys.dtype), merged[1].to(keys.dtype), merged[2]
    torch.bmm(weights[..., :own].transpose(1, 2), incoming, out=d_values)
    torch.bmm(d_scores, keys, out=d_queries).mul_(size**-0.5)
    torch.bmm(d_scores[..., :own].transpose(1, 2), scaled, out=d_keys)
    d_beside = None
    if beside is not None:
        parts = (d_scores, scaled), (weights, incoming)
        d_beside = torch.cat(
            [beside.summed(torch.bmm(w[..., own:].transpose(1, 2), x)) for w, x in parts], dim=1
        )

    tiles, model_width = len(chunk.slots), gradient.shape[1]
    rows = buffer.index_select(0, index.gradients).view(chunk.rows, -1)
    # All tiles of an expert see its prefix, so their gradients are summed. A matrix product sums
    # them in a fixed order.
    owner = F.one_hot(chunk.tile_expert, chunk.experts).to(buffer.dtype).t()
    for offset, part in ((-2 * model_width, d_keys), (-model_width, d_values)):
        of_prefix = part.view(tiles, -1, own, size)[:, :, : chunk.prefix]
        summed = owner @ of_prefix.reshape(tiles, -1)
        summed = summed.view(chunk.experts, -1, chunk.prefix, size).transpose(1, 2)
        summed = summed.reshape(-1, model_width)[chunk.prefix_positions]
        start = rows.shape[1] + offset
        rows[:, start : start + model_width].index_add_(0, chunk.prefix_rows, summed)
    apart = None
    if rows.shape[1] < 3 * model_width:
        apart = buffer.index_select(0, index.mixed).view(-1, model_width)
    return AttendGradients(rows, apart, d_beside, d_shares)
