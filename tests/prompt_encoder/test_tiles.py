"""The layout of prompts in rows and tiles, and encoding in chunks with little memory."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from open_clip.transformer import QuickGELU

from mocoop.clip.device import activation_memory
from mocoop.clip.text_tower import TextTower
from mocoop.errors import UserError
from mocoop.prompt_encoder.block_weights import BlockWeights, is_supported
from mocoop.prompt_encoder.frozen_blocks import kept_bytes, run_blocks
from mocoop.prompt_encoder.layout import ClassTokens, PromptBatch
from mocoop.prompt_encoder.tiles import choose_width, fill_tiles
from tests.support.soft_prompts import (
    NAMES,
    TEMPLATES,
    assert_same_as_reference,
    relative_error,
    soft_blocks,
)
from tests.support.tiny import tiny_clip


def batch(tower, templates=TEMPLATES, names=NAMES):
    """Returns soft prompts and the blocks that they are made of."""
    befores, afters = soft_blocks(tower, templates)
    prompts = PromptBatch.build(
        tower.tokens, ClassTokens.from_names(tower.tokens, names), befores, afters
    )
    return prompts, [block for block in befores + afters if len(block)]


def gradients(tower, prompts, blocks):
    """Returns features, and the gradients of a different pull on every feature."""
    features = tower.encode_prompts(prompts)
    pull = torch.randn(features.shape, generator=torch.Generator().manual_seed(4))
    return features, torch.autograd.grad((features * pull).sum(), blocks)


@pytest.mark.parametrize("width", [7, 10, 64])
def test_tiles_hold_every_prompt_once(width):
    """No prompt is lost, cut or put in two tiles, and no tile is too full."""
    lengths = [3, 7, 2, 2, 5, 1, 7, 3]
    tiles = fill_tiles(lengths, width)
    assert sorted(index for tile in tiles for index in tile) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in tile) <= width for tile in tiles)
    assert len(tiles) <= {7: 5, 10: 3, 64: 1}[width]


def test_width_has_room_for_the_longest():
    """A tile is never narrower than the longest thing in it, nor wide without need."""
    assert choose_width([[3, 100, 4]], 5) == 100
    assert choose_width([[3] * 50], 5) in range(10, 33)


@pytest.mark.parametrize("limit", [8, 30, 10_000])
def test_rows_are_the_formula(tiny_backbone, limit):
    """Own tokens stand once, prefixes once per chunk that needs them; nothing else is encoded."""
    tower = tiny_backbone.text
    prompts, _ = batch(tower)
    layout = prompts.layout
    chunks = layout.chunks(limit)
    pairs = torch.cat([chunk.pairs for chunk in chunks])
    assert sorted(pairs.tolist()) == list(range(len(TEMPLATES) * len(NAMES)))
    prefixes = 1 + layout.before_lengths
    own = sum(len(prompt) for prompt in layout.prompts) - len(NAMES) * prefixes.sum()
    repeated = 0
    for chunk in chunks:
        experts = np.unique(chunk.pairs.numpy() // len(NAMES))
        assert len(experts) == chunk.experts
        repeated += prefixes[experts].sum()
    assert sum(chunk.rows for chunk in chunks) == own + repeated
    if limit == 10_000:
        assert len(chunks) == 1
        assert repeated == prefixes.sum()
    else:
        assert len(chunks) > 2
    for chunk in chunks:
        filled = chunk.slots[chunk.slots < chunk.rows]
        assert filled.sort().values.tolist() == list(range(chunk.rows))
        assert torch.equal(chunk.slots.flatten()[chunk.row_slot], torch.arange(chunk.rows))


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("limit", [8, 30])
def test_chunks_equal_the_reference(tokenizer, limit, quick):
    """Features and gradients are exact however the prompts are cut into chunks."""

    def encode(tower, prompts):
        return dataclasses.replace(tower, chunk_rows=limit).encode_prompts(prompts)

    model = tiny_clip()
    if quick:
        for block in model.transformer.resblocks:
            block.mlp.gelu = QuickGELU()
    assert_same_as_reference(model, tokenizer, encode, TEMPLATES, NAMES)


@pytest.mark.parametrize("memory", [0, 150_000])
def test_little_memory_changes_no_bit(tiny_backbone, memory):
    """What is not kept is computed again, to the same bits; also when asked for twice."""
    tower = dataclasses.replace(tiny_backbone.text, chunk_rows=30, memory=2**30)
    prompts, blocks = batch(tower)
    small = dataclasses.replace(tower, memory=memory)
    needs = [
        kept_bytes(chunk, tower.blocks.weights(torch.float32))
        for chunk in prompts.layout.chunks(30)
    ]
    assert sum(needs) > 150_000 > needs[0]
    expected, expected_gradients = gradients(tower, prompts, blocks)
    features, got = gradients(small, prompts, blocks)
    assert torch.equal(features, expected)
    assert all(torch.equal(*pair) for pair in zip(got, expected_gradients, strict=True))
    total = small.encode_prompts(prompts).sum()
    once = torch.autograd.grad(total, blocks, retain_graph=True)
    again = torch.autograd.grad(total, blocks)
    assert all(torch.equal(*pair) for pair in zip(once, again, strict=True))


def test_what_is_kept_is_counted(tiny_backbone):
    """The bytes by which the budget is kept are those of the tensors that are kept."""
    tower = tiny_backbone.text
    prompts, _ = batch(tower)
    for dtype in (torch.float32, torch.bfloat16):
        blocks = tower.blocks.weights(dtype)
        for chunk in prompts.layout.chunks(30):
            rows = prompts.table.detach()[chunk.source]
            _, kept = run_blocks(rows, chunk, blocks, keep=True)
            assert sum(tensor.nbytes for tensor in kept) == kept_bytes(chunk, blocks)


def test_half_precision(tiny_backbone):
    """In autocast to bf16, features and gradients stay within 2 % of the plain path in fp32."""
    tower = tiny_backbone.text
    prompts, blocks = batch(tower)
    expected = tower.encode_prompts_plain(prompts)
    pull = torch.randn(expected.shape, generator=torch.Generator().manual_seed(4))
    plain = torch.autograd.grad((expected * pull).sum(), blocks, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        fast = tower.encode_prompts(prompts).float()
    got = torch.autograd.grad((fast * pull).sum(), blocks)
    assert 1e-4 < relative_error(fast.detach(), expected.detach()) < 2e-2
    with torch.autocast("cpu", torch.bfloat16):
        inside = dataclasses.replace(tower, memory=0).encode_prompts(prompts).float()
        again = torch.autograd.grad((inside * pull).sum(), blocks)
    assert all(torch.equal(*pair) for pair in zip(got, again, strict=True))
    flat = [torch.cat([part.flatten() for part in parts]) for parts in (got, plain)]
    assert 1e-4 < relative_error(*flat) < 2e-2


def test_layouts_are_made_once(tiny_backbone):
    """Steps with the same lengths use the same layout; other names have another."""
    tower = tiny_backbone.text
    classes = ClassTokens.from_names(tower.tokens, NAMES)
    befores, afters = soft_blocks(tower, TEMPLATES)
    one = PromptBatch.build(tower.tokens, classes, befores, afters)
    two = PromptBatch.build(tower.tokens, classes, befores, afters)
    assert one.layout is two.layout
    fewer = PromptBatch.build(tower.tokens, classes.first(2), befores, afters)
    assert fewer.shape == (len(TEMPLATES), 2)
    assert one.shape == (len(TEMPLATES), len(NAMES))


def test_strange_blocks_are_not_understood():
    """A block whose passes would differ is left to its own forward."""
    block = tiny_clip().transformer.resblocks[0]
    assert is_supported(block)
    block.mlp.gelu = torch.nn.GELU("tanh")
    assert not is_supported(block)
    block.mlp.gelu = torch.nn.ReLU()
    assert not is_supported(block)


def test_weights_are_cast_once(tiny_backbone):
    """Weights of another dtype are copies that are kept; in their own dtype they are views."""
    tower = tiny_backbone.text
    block = tower.transformer.resblocks[0]
    same = BlockWeights.from_block(block, torch.float32)
    assert same.up.data_ptr() == block.mlp.c_fc.weight.data_ptr()
    assert tower.blocks.weights(torch.bfloat16) is tower.blocks.weights(torch.bfloat16)


def test_memory_setting(monkeypatch, tokenizer):
    """The budget is the variable's, or a share of what is free; nonsense is refused."""
    device = torch.device("cpu")
    monkeypatch.delenv("MOCOOP_TEXT_MEMORY", raising=False)
    assert activation_memory(device) > 2**20
    monkeypatch.setenv("MOCOOP_TEXT_MEMORY", "1.5")
    assert activation_memory(device) == 3 * 2**29
    assert TextTower.from_model(tiny_clip(), tokenizer).memory == 3 * 2**29
    for wrong in ("much", "-1", "inf", "nan"):
        monkeypatch.setenv("MOCOOP_TEXT_MEMORY", wrong)
        with pytest.raises(UserError, match=r"expected a number of GiB, at least 0"):
            activation_memory(device)
