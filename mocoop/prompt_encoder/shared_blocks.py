"""The first blocks of prompts that images change only in later ones, run once for all images.

Before block l an image replaces the learned tokens by its own (late conditioning). The outputs of
block l - 1 in all other rows do not depend on the image: they are computed once for an expert and
its classes, and every image's prompts go on from them. The result is exactly that of encoding
every image's prompts from the start; gradients of the shared blocks are summed over the images.
Every class has rows of its own here, also those whose names begin with the same tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.prompt_encoder.block_weights import BlockWeights
from mocoop.prompt_encoder.frozen_blocks import (
    FrozenBlocks,
    back_through_whole,
    kept_bytes,
    run_whole_blocks,
)
from mocoop.prompt_encoder.layout import PromptBatch, PromptLayout
from mocoop.prompt_encoder.tiles import Chunk


class LowerBlocks(torch.autograd.Function):
    """The first blocks for one chunk: from rows (rows, width) to their output in all rows."""

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
        """Returns the last of these blocks' output; the arguments are those of `FrozenBlocks`."""
        with torch.autocast(rows.device.type, enabled=False):
            output, kept = run_whole_blocks(rows, chunk, blocks, keep, places, deep)
        ctx.chunk, ctx.blocks, ctx.keep, ctx.places = chunk, blocks, keep, places
        ctx.layers = 0 if deep is None else len(deep)
        ctx.save_for_backward(*(kept if keep else [rows, deep]))
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients with respect to the rows and to the later blocks' tokens."""
        kept = list(ctx.saved_tensors)
        replaced: list[Tensor] = []
        with torch.autocast(gradient.device.type, enabled=False):
            if not ctx.keep:
                rows, deep = kept
                _, kept = run_whole_blocks(rows, ctx.chunk, ctx.blocks, True, ctx.places, deep)
            d_rows = back_through_whole(
                gradient, ctx.chunk, ctx.blocks, kept, ctx.places, ctx.layers, replaced
            )
        d_deep = torch.stack(replaced[::-1]) if replaced else None
        return d_rows, None, None, None, None, d_deep


@dataclass(frozen=True)
class SharedStates:
    """The output of the first blocks for one expert's prompts of all classes."""

    states: Tensor = field(repr=False)  # (rows, width), of all chunks one after the other
    layout: PromptLayout
    """The layout of the expert's prompts, (1, classes)."""


def shared_states(
    prompts: PromptBatch,
    positional_embedding: Tensor,
    blocks: Sequence[BlockWeights],
    limit: int,
    memory: int,
) -> SharedStates:
    """Returns the output of the first blocks for one expert's prompts.

    Args:
        prompts: the prompts (1, classes), with the learned tokens that no image has changed; the
            settings allow none that are only keys and values.
        positional_embedding: the text tower's, (context, width).
        blocks: the weights of these blocks.
        limit: approximate number of rows in a chunk.
        memory: bytes of activations to keep for the backward pass; without gradients 0.
    """
    assert prompts.keys is None, "no learned keys and values beside late conditioning"
    parts = []
    deep = None if prompts.deep is None else prompts.deep[: len(blocks) - 1]
    for chunk in prompts.layout.chunks(limit, share=False):
        rows = F.embedding(chunk.source, prompts.table) + positional_embedding[chunk.position]
        memory -= kept_bytes(chunk, blocks, whole=True)
        places = own = None
        if deep is not None and len(deep):
            places, which = prompts.layout.deep_places(chunk.source, prompts.deep_counts)
            own = deep[:, which]
        parts.append(LowerBlocks.apply(rows, chunk, blocks, memory >= 0, places, own))
    return SharedStates(torch.cat(parts), prompts.layout)


def upper_blocks(
    shared: SharedStates,
    layout: PromptLayout,
    deep: Tensor,
    count: int,
    blocks: Sequence[BlockWeights],
    limit: int,
    memory: int,
) -> Tensor:
    """Returns the last block's output at every [EOS], (images classes, width), by image.

    Args:
        shared: the output of the blocks below.
        layout: the layout of the same prompts once for every image, (images, classes).
        deep: the learned tokens of every image, (layers, images count, width): those of the
            first of these blocks, and of later ones.
        count: the number of learned tokens of an image.
        blocks: the weights of the blocks from the first that an image changes.
        limit: approximate number of rows in a chunk.
        memory: bytes of activations to keep for the backward pass; without gradients 0.
    """
    images = layout.shape[0]
    chunks = layout.chunks(limit, share=False)
    parts = []
    for chunk, rows_below in zip(chunks, rows_in(shared.layout, layout, limit), strict=True):
        rows = shared.states[rows_below]
        places, which = layout.deep_places(chunk.source, (count,) * images)
        own = deep[:, which]  # (layers, learned rows, width)
        rows = rows.index_copy(0, places, own[0])
        memory -= kept_bytes(chunk, blocks)
        later = own[1:] if len(own) > 1 else None
        parts.append(
            FrozenBlocks.apply(
                rows, chunk, blocks, memory >= 0, None if later is None else places, later
            )
        )
    order = torch.cat([chunk.pairs for chunk in chunks]).argsort()
    return torch.cat(parts)[order]


def rows_in(below: PromptLayout, layout: PromptLayout, limit: int) -> list[Tensor]:
    """Returns for each chunk of a layout the same rows (rows,) in the chunks of another; cached.

    Args:
        below: the layout of one expert's prompts, (1, classes).
        layout: the layout of the same prompts once for every image, (images, classes).
        limit: the number of rows in a chunk of both.
    """
    if limit not in layout.rows_below:
        table = np.zeros((below.shape[1] + 1, below.longest), dtype=np.int64)
        start = 0
        for chunk in below.chunks(limit, share=False):
            owner, position = _class_of_rows(below, chunk), chunk.position.cpu().numpy()
            table[owner, position] = start + np.arange(chunk.rows)
            start += chunk.rows
        layout.rows_below[limit] = [
            torch.as_tensor(
                table[_class_of_rows(layout, chunk), chunk.position.cpu().numpy()],
                device=layout.device,
            )
            for chunk in layout.chunks(limit, share=False)
        ]
    return layout.rows_below[limit]


def _class_of_rows(layout: PromptLayout, chunk: Chunk) -> np.ndarray:
    """Returns the class of each row, (rows,); -1 in the tokens before the class name."""
    prompts, classes = layout.shape
    starts = 1 + layout.before_lengths.repeat(classes)
    lengths = np.array([len(prompt) for prompt in layout.prompts]) - starts
    pairs, ends = chunk.pairs.cpu().numpy(), chunk.ends.cpu().numpy()
    owner = np.full(chunk.rows, -1)
    own = lengths[pairs]
    # The rows of a pair follow each other; the last of them is its [EOS].
    offsets = np.arange(own.sum()) - np.repeat(own.cumsum() - own, own)
    owner[np.repeat(ends - own + 1, own) + offsets] = np.repeat(pairs % classes, own)
    assert prompts * classes == len(layout.prompts)
    return owner
