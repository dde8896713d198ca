"""The layout of soft prompts: all tokens in one list of rows, and tiles for attention.

Linear layers want many rows at once, attention wants few keys. Rows have no gaps, so that
linear layers do no work for padding. A tile holds the own tokens of several classes of one
expert; a mask keeps classes apart. All tiles of a chunk have one width, so that experts with
prefixes and prompts of any length run in the same products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Places in a tile that are tried. Measured on a CPU, attention takes about the same time with 10
# to 24 places; narrower tiles are too many small products, wider ones hide most of what they do.
WIDTHS = (10, 12, 14, 16, 18, 20, 24, 28, 32)
_SLOT_COST = 24  # of moving a token to its place, in keys that it might see instead


@dataclass(frozen=True)
class Chunk:
    """Prompts that are encoded together.

    Rows are tokens: every expert's prefix once, and every pair's own tokens, without gaps.
    Tiles are where attention runs: a tile holds several prompts of one expert side by side,
    or its prefix, and sees the expert's prefix besides.
    """

    pairs: Tensor  # (pairs,), which (expert, class) pairs these are
    source: Tensor  # (rows,), each row's token in the table of embeddings
    position: Tensor  # (rows,), its place in the prompt
    ends: Tensor  # (pairs,), the row of each pair's [EOS]
    experts: int
    prefix: int  # tokens of the longest prefix
    prefix_rows: Tensor  # (prefix tokens,), their rows
    prefix_places: Tensor  # (prefix tokens,), expert * prefix + place in it
    tile_expert: Tensor  # (tiles,), counted from the chunk's first expert
    slots: Tensor  # (tiles, width), the row in each place; `rows` where it is empty
    keys: Tensor  # (tiles, prefix + width), the row of each key; 0 where there is none
    hidden: Tensor  # (tiles, width, prefix + width), bool: what a token must not see
    row_slot: Tensor  # (rows,), each row's place, tile * width + place in it
    end_slots: Tensor  # (tiles, per tile), which pairs end there; the number of pairs if none
    pair_slot: Tensor  # (pairs,), each pair's place among the ends, tile * per tile + number

    @property
    def rows(self) -> int:
        """Number of tokens that are encoded."""
        return len(self.source)


@dataclass(frozen=True)
class _Item:
    """What a tile holds whole: a pair's own tokens, or an expert's prefix (pair is None)."""

    expert: int
    pair: int | None
    tokens: np.ndarray  # rows of the table
    start: int  # position of the first


def fill_tiles(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Returns which prompts stand in which tile: longest first, each tile as full as it gets.

    Args:
        lengths: tokens of each prompt, none longer than `width`.
        width: places in a tile.
    """
    waiting: dict[int, list[int]] = {}
    for index in range(len(lengths) - 1, -1, -1):
        waiting.setdefault(lengths[index], []).append(index)
    sizes = sorted(waiting, reverse=True)
    tiles = []
    left = len(lengths)
    while left:
        room, tile = width, []
        for size in sizes:
            while room >= size and waiting[size]:
                tile.append(waiting[size].pop())
                room -= size
        left -= len(tile)
        tiles.append(tile)
    return tiles


def choose_width(lengths: Sequence[Sequence[int]], prefix: int) -> int:
    """Returns the tile width with which attention costs least.

    Args:
        lengths: for each expert, the tokens of what its tiles hold.
        prefix: tokens of the longest prefix.
    """
    longest = max(max(own) for own in lengths)
    widths = {max(width, longest) for width in WIDTHS}

    def cost(width: int) -> int:
        tiles = sum(len(fill_tiles(own, width)) for own in lengths)
        return tiles * width * (_SLOT_COST + prefix + width)

    return min(sorted(widths), key=cost)


def lay_out(
    prompts: Sequence[np.ndarray], before: np.ndarray, limit: int, device: torch.device
) -> list[Chunk]:
    """Returns chunks that hold every prompt once.

    Args:
        prompts: each prompt's tokens as rows of the table, by expert, then class; the first
            row of any is [SOS].
        before: tokens between [SOS] and class name, (experts,).
        limit: rows of a chunk, about.
        device: where the tensors go.
    """
    num_classes = len(prompts) // len(before)
    starts = 1 + before.repeat(num_classes)  # (pairs,), where a pair's own tokens start
    own = np.array([len(prompt) for prompt in prompts]) - starts
    count = max(1, round(int(own.sum()) / limit))
    # A chunk ends with the pair in which its share of all tokens ends.
    part = (own.cumsum() - own) * count // own.sum()
    chunks = []
    for number in range(count):
        pairs = np.flatnonzero(part == number)
        items: dict[int, list[_Item]] = {}
        for pair in pairs.tolist():
            expert, start = pair // num_classes, int(starts[pair])
            if expert not in items:
                items[expert] = [_Item(expert, None, prompts[pair][:start], 0)]
            items[expert].append(_Item(expert, pair, prompts[pair][start:], start))
        if items:
            chunks.append(_chunk(list(items.values()), device))
    return chunks


def _chunk(items: Sequence[Sequence[_Item]], device: torch.device) -> Chunk:
    """Returns one chunk of every expert's prefix, which comes first, and prompts."""
    lengths = [[len(item.tokens) for item in own] for own in items]
    prefix = max(own[0] for own in lengths)
    width = choose_width(lengths, prefix)
    tiles = [
        (expert, [own[index] for index in tile])
        for expert, own in enumerate(items)
        for tile in fill_tiles(lengths[expert], width)
    ]
    per_tile = max(sum(item.pair is not None for item in tile) for _, tile in tiles)
    total = sum(map(sum, lengths))
    num_pairs = sum(len(own) - 1 for own in items)
    slots = np.full((len(tiles), width), total)
    owner = np.full((len(tiles), width), -1)  # which item of the tile; -1 where it is empty
    alone = np.zeros((len(tiles), width), dtype=bool)  # a prefix, which has none before it
    end_slots = np.full((len(tiles), per_tile), num_pairs)
    prefix_rows = np.zeros((len(items), prefix), dtype=np.int64)
    source, position, row_slot = [], [], []
    pairs: list[int] = []
    ends, pair_slot = [], []
    row = 0
    for index, (expert, tile) in enumerate(tiles):
        at = 0
        for number, item in enumerate(tile):
            size = len(item.tokens)
            place = slice(at, at + size)
            slots[index, place] = np.arange(row, row + size)
            owner[index, place] = number
            source.append(item.tokens)
            position.append(np.arange(item.start, item.start + size))
            row_slot.append(index * width + np.arange(at, at + size))
            at, row = at + size, row + size
            if item.pair is None:
                alone[index, place] = True
                prefix_rows[expert, :size] = np.arange(row - size, row)
            else:
                done = len(pairs)
                ended = int((end_slots[index] < num_pairs).sum())
                end_slots[index, ended] = done
                pair_slot.append(index * per_tile + ended)
                pairs.append(item.pair)
                ends.append(row - 1)
    tile_expert = np.array([expert for expert, _ in tiles])
    sizes = np.array([own[0] for own in lengths])
    exists = np.arange(prefix) < sizes[:, None]  # (experts, prefix)
    hidden = np.ones((len(tiles), width, prefix + width), dtype=bool)
    hidden[:, :, :prefix] = alone[:, :, None] | ~exists[tile_expert][:, None]
    hidden[:, :, prefix:] = owner[:, :, None] != owner[:, None, :]
    hidden[:, :, prefix:] |= np.triu(np.ones((width, width), dtype=bool), 1)
    keys = np.concatenate([prefix_rows[tile_expert], np.where(slots < total, slots, 0)], axis=1)
    move = lambda values: torch.as_tensor(values, device=device)
    return Chunk(
        pairs=move(pairs),
        source=move(np.concatenate(source)),
        position=move(np.concatenate(position)),
        ends=move(ends),
        experts=len(items),
        prefix=prefix,
        prefix_rows=move(prefix_rows[exists]),
        prefix_places=move(np.flatnonzero(exists)),
        tile_expert=move(tile_expert),
        slots=move(slots),
        keys=move(keys),
        hidden=move(hidden),
        row_slot=move(np.concatenate(row_slot)),
        end_slots=move(end_slots),
        pair_slot=move(pair_slot),
    )
