"""Soft prompts as one list of rows for linear layers, and as tiles for attention.

Linear layers are fast with many rows, attention is fast with few keys. There are no gaps between
rows, so that linear layers do not compute padding. A tile holds the tokens of several classes of
one expert; a mask keeps the classes separate. All tiles of a chunk have the same width, so that
one product handles experts with prefixes and prompts of any length. Class names that begin with
the same tokens can share these (`prompt_trees`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mocoop.prompt_encoder.prompt_trees import Tree, chain, trees_of

# Tile widths (slots per tile) to choose from. Measured on a CPU, attention takes about the same
# time with 10 to 24 slots. Narrower tiles need too many small products; in wider tiles the mask
# hides most of the results.
WIDTHS = (10, 12, 14, 16, 18, 20, 24, 28, 32)
_SLOT_COST = 24  # cost of moving a token to its slot, as the number of keys of equal cost


@dataclass(frozen=True)
class Chunk:
    """Prompts that are encoded together.

    A row is a token. The rows are every expert's prefix once, and the own tokens of every pair,
    or of several pairs that share their first ones, without gaps. Attention runs in tiles: a tile
    holds several prompts of one expert side by side, or its prefix, and its tokens also see the
    expert's prefix.
    """

    pairs: Tensor  # (pairs,), indices of the (expert, class) pairs
    source: Tensor  # (rows,), the index of each row's token in the table of embeddings
    position: Tensor  # (rows,), the position of each row in its prompt
    ends: Tensor  # (pairs,), the row of each pair's [EOS]
    experts: int  # number of experts in the chunk
    prefix: int  # number of tokens of the longest prefix
    prefix_rows: Tensor  # (prefix tokens,), the rows of all prefixes
    prefix_positions: Tensor  # (prefix tokens,), expert * prefix + position in the prefix
    tile_expert: Tensor  # (tiles,), each tile's expert; 0 is the chunk's first expert
    slots: Tensor  # (tiles, width), the row in each slot; `rows` if the slot is empty
    keys: Tensor  # (tiles, prefix + width), the row of each key; 0 if there is none
    hidden: Tensor  # (tiles, width, prefix + width), bool: keys that a token must not see
    row_slot: Tensor  # (rows,), the slot of each row, tile * width + slot in the tile
    end_slots: Tensor  # (tiles, per tile), pairs that end in the tile; number of pairs if none
    pair_slot: Tensor  # (pairs,), each pair's index in `end_slots`, flattened

    @property
    def rows(self) -> int:
        """Number of rows, which are the tokens to encode."""
        return len(self.source)


@dataclass(frozen=True)
class _Item:
    """Tokens that stay together in a tile: of some pairs, or an expert's prefix (no pair)."""

    expert: int
    tree: Tree
    start: int  # position of the first token in the prompt


def fill_tiles(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Returns the prompts in each tile: longest first, and each tile as full as possible.

    Args:
        lengths: number of tokens of each prompt, at most `width`.
        width: number of slots in a tile.
    """
    remaining: dict[int, list[int]] = {}  # length → indices of prompts
    for index in range(len(lengths) - 1, -1, -1):
        remaining.setdefault(lengths[index], []).append(index)
    sizes = sorted(remaining, reverse=True)
    tiles = []
    left = len(lengths)
    while left:
        free, tile = width, []
        for size in sizes:
            while free >= size and remaining[size]:
                tile.append(remaining[size].pop())
                free -= size
        left -= len(tile)
        tiles.append(tile)
    return tiles


def choose_width(lengths: Sequence[Sequence[int]], prefix: int) -> int:
    """Returns the tile width with the lowest cost of attention.

    Args:
        lengths: for each expert, the numbers of tokens of its items.
        prefix: number of tokens of the longest prefix.
    """
    longest = max(max(own) for own in lengths)
    widths = {max(width, longest) for width in WIDTHS}

    def cost(width: int) -> int:
        tiles = sum(len(fill_tiles(own, width)) for own in lengths)
        return tiles * width * (_SLOT_COST + prefix + width)

    return min(sorted(widths), key=cost)


def lay_out(
    prompts: Sequence[np.ndarray],
    before: np.ndarray,
    limit: int,
    device: torch.device,
    same: np.ndarray | None = None,
) -> list[Chunk]:
    """Returns chunks that together hold every prompt once.

    Args:
        prompts: each prompt's tokens as rows of the table, by expert, then class; the first
            token of each is [SOS].
        before: number of tokens between [SOS] and the class name, (experts,).
        limit: approximate number of rows in a chunk.
        device: the device of the tensors.
        same: a number for each row of the table, equal for equal tokens, (table rows,): prompts
            of an expert may then share their first own tokens; None for tokens of their own.
    """
    num_classes = len(prompts) // len(before)
    starts = 1 + before.repeat(num_classes)  # (pairs,), position of a pair's first own token
    own = [prompt[start:] for prompt, start in zip(prompts, starts, strict=True)]
    trees = trees_of(own, num_classes, same, WIDTHS[-1])
    sizes = np.array([len(tree.tokens) for tree in trees])
    count = max(1, round(int(sizes.sum()) / limit))
    # Chunks get equal shares of all tokens; a tree belongs to the chunk of its first token.
    part = (sizes.cumsum() - sizes) * count // sizes.sum()
    chunks = []
    for number in range(count):
        items: dict[int, list[_Item]] = {}
        for index in np.flatnonzero(part == number).tolist():
            tree = trees[index]
            pair = tree.pairs[0]
            expert, start = pair // num_classes, int(starts[pair])
            if expert not in items:
                items[expert] = [_Item(expert, chain((), prompts[pair][:start]), 0)]
            items[expert].append(_Item(expert, tree, start))
        if items:
            chunks.append(_chunk(list(items.values()), device))
    return chunks


def _chunk(items: Sequence[Sequence[_Item]], device: torch.device) -> Chunk:
    """Returns one chunk; each expert's first item is its prefix, then follow its prompts."""
    lengths = [[len(item.tree.tokens) for item in own] for own in items]
    prefix = max(own[0] for own in lengths)
    width = choose_width(lengths, prefix)
    tiles = [
        (expert, [own[index] for index in tile])
        for expert, own in enumerate(items)
        for tile in fill_tiles(lengths[expert], width)
    ]
    per_tile = max(sum(len(item.tree.pairs) for item in tile) for _, tile in tiles)
    total = sum(map(sum, lengths))
    num_pairs = sum(len(item.tree.pairs) for own in items for item in own)
    slots = np.full((len(tiles), width), total)
    owner = np.full((len(tiles), width), -1)  # the index of the slot's item; -1 if empty
    in_prefix = np.zeros((len(tiles), width), dtype=bool)  # these see no other prefix
    end_slots = np.full((len(tiles), per_tile), num_pairs)
    prefix_rows = np.zeros((len(items), prefix), dtype=np.int64)
    source, position, row_slot = [], [], []
    pairs: list[int] = []
    ends, pair_slot = [], []
    branched = []  # the place of each tree with branches, and which tokens do not see which
    row = 0
    for index, (expert, tile) in enumerate(tiles):
        start = own_pairs = 0
        for number, item in enumerate(tile):
            tree, size = item.tree, len(item.tree.tokens)
            own_slots = slice(start, start + size)
            slots[index, own_slots] = np.arange(row, row + size)
            owner[index, own_slots] = number
            source.append(tree.tokens)
            position.append(item.start + tree.depths)
            row_slot.append(index * width + np.arange(start, start + size))
            if len(tree.pairs) > 1:
                branched.append((index, own_slots, ~tree.seen()))
            if not tree.pairs:
                in_prefix[index, own_slots] = True
                prefix_rows[expert, :size] = np.arange(row, row + size)
            for pair, end in zip(tree.pairs, tree.ends, strict=True):
                end_slots[index, own_pairs] = len(pairs)
                pair_slot.append(index * per_tile + own_pairs)
                pairs.append(pair)
                ends.append(row + end)
                own_pairs += 1
            start, row = start + size, row + size
    tile_expert = np.array([expert for expert, _ in tiles])
    sizes = np.array([own[0] for own in lengths])
    exists = np.arange(prefix) < sizes[:, None]  # (experts, prefix)
    hidden = np.ones((len(tiles), width, prefix + width), dtype=bool)
    hidden[:, :, :prefix] = in_prefix[:, :, None] | ~exists[tile_expert][:, None]
    hidden[:, :, prefix:] = owner[:, :, None] != owner[:, None, :]
    hidden[:, :, prefix:] |= np.triu(np.ones((width, width), dtype=bool), 1)
    for index, own_slots, unseen in branched:
        own_keys = slice(prefix + own_slots.start, prefix + own_slots.stop)
        hidden[index, own_slots, own_keys] = unseen
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
        prefix_positions=move(np.flatnonzero(exists)),
        tile_expert=move(tile_expert),
        slots=move(slots),
        keys=move(keys),
        hidden=move(hidden),
        row_slot=move(np.concatenate(row_slot)),
        end_slots=move(end_slots),
        pair_slot=move(pair_slot),
    )
