"""Class names that begin with the same tokens share these: counts, masks and exact results."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch
from open_clip.transformer import QuickGELU

from mocoop.prompt_encoder.layout import ClassTokens, PromptBatch
from mocoop.prompt_encoder.prompt_trees import trees_of
from mocoop.prompt_encoder.tiles import WIDTHS
from tests.prompt_encoder.test_key_tokens import deep_backbone, drawn, gradients, keys_of
from tests.support.soft_prompts import (
    TEMPLATES,
    assert_same_as_reference,
    relative_error,
    soft_blocks,
)
from tests.support.tiny import tiny_clip

CARS = (
    "2012 BMW M3 Coupe",
    "2000 AM General Hummer SUV",
    "2012 Acura TL Sedan",
    "2012 BMW X3 SUV",
    "2012 Acura RL Sedan",
    "2012 BMW",
    "2012 BMW X3 SUV",  # the same name twice
    "Jeep",
    "2012",
    "2007 BMW X5 SUV",
)
MODELS = ("coupe", "sedan", "wagon", "van", "truck")
MANY = tuple(f"20{year:02d} {make}" for year in range(8, 13) for make in MODELS)


def batch(tower, names=CARS):
    befores, afters = soft_blocks(tower, TEMPLATES)
    classes = ClassTokens.from_names(tower.tokens, names)
    prompts = PromptBatch.build(tower.tokens, classes, befores, afters)
    return prompts, [block for block in befores + afters if len(block)]


def tokens_of(rows):
    return sum(len(tree.tokens) for tree in rows)


def grown(layout, most=WIDTHS[-1]):
    """Returns the trees of a layout, and the own tokens of every pair."""
    starts = (1 + layout.before_lengths).repeat(layout.shape[1])
    own = [prompt[start:] for prompt, start in zip(layout.prompts, starts, strict=True)]
    return trees_of(own, layout.shape[1], layout.same, most), own


@pytest.mark.parametrize("most", [20, 32])
@pytest.mark.parametrize("names", [CARS, MANY], ids=["cars", "many"])
def test_trees_hold_every_prompt(tiny_backbone, names, most):
    """Read from its end to the root, a prompt is in its tree, token by token."""
    layout = batch(tiny_backbone.text, names)[0].layout
    trees, own = grown(layout, most)
    assert sorted(pair for tree in trees for pair in tree.pairs) == list(range(len(own)))
    assert tokens_of(trees) <= 0.9 * sum(map(len, own))
    for tree in trees:
        assert len(tree.pairs) == 1 or len(tree.tokens) <= most
        assert len(set(tree.ends)) == len(tree.ends)
        seen = tree.seen()
        for pair, end in zip(tree.pairs, tree.ends, strict=True):
            path, token = [], end
            while token >= 0:
                path.append(token)
                token = tree.parents[token]
            path = path[::-1]
            assert np.array_equal(layout.same[tree.tokens[path]], layout.same[own[pair]])
            assert tree.depths[path].tolist() == list(range(len(path)))
            assert np.flatnonzero(seen[end]).tolist() == sorted(path)


def test_shared_tokens_are_counted_by_hand(tokenizer):
    """“red car”, “red van” and “red” have five different tokens and three ends."""
    tower = deep_backbone().text
    classes = ClassTokens.from_names(tower.tokens, ("red car", "blue", "red van", "red"))
    before = torch.zeros(2, tower.width)
    prompts = PromptBatch.build(tower.tokens, classes, [before], [before[:0]])
    # [SOS] and two learned tokens; red, car, van, and blue; an [EOS] of each class.
    assert [chunk.rows for chunk in prompts.layout.chunks(10_000)] == [3 + 4 + 4]
    assert [chunk.rows for chunk in prompts.layout.chunks(10_000, share=False)] == [3 + 6 + 4]


def test_without_enough_to_save_nothing_changes(tiny_backbone):
    """Then every prompt has tokens of its own, in tiles as before: the results keep their bits."""
    names = ("old cat", "old dog", *(f"{letter} thing" for letter in "abcdefghijklmnopqrs"))
    layout = batch(tiny_backbone.text, names)[0].layout
    trees, own = grown(layout)
    assert [tree.pairs for tree in trees] == [(pair,) for pair in range(len(own))]
    for chunk, other in zip(layout.chunks(50), layout.chunks(50, share=False), strict=True):
        for field in dataclasses.fields(chunk):
            one, two = getattr(chunk, field.name), getattr(other, field.name)
            assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


def test_prompts_of_their_own_class_share_nothing(tiny_backbone):
    """With class-specific contexts, what stands before the names differs."""
    tower = tiny_backbone.text
    classes = ClassTokens.from_names(tower.tokens, MANY)
    blocks = [torch.zeros(2, tower.width) for _ in MANY]
    ends = [torch.zeros(1, tower.width) for _ in MANY]
    layout = PromptBatch.build(tower.tokens, classes, blocks, ends, own_class=True).layout
    assert sum(chunk.rows for chunk in layout.chunks(10_000)) == sum(map(len, layout.prompts))


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("limit", [8, 30, 10_000])
@pytest.mark.parametrize("names", [CARS, MANY], ids=["cars", "many"])
def test_trees_equal_the_reference(tokenizer, names, limit, quick):
    """Features and gradients are those of one prompt after the other."""

    def encode(tower, prompts):
        shared = sum(chunk.rows for chunk in prompts.layout.chunks(limit))
        apart = sum(chunk.rows for chunk in prompts.layout.chunks(limit, share=False))
        assert shared < 0.95 * apart
        return dataclasses.replace(tower, chunk_rows=limit).encode_prompts(prompts)

    model = tiny_clip()
    if quick:
        for block in model.transformer.resblocks:
            block.mlp.gelu = QuickGELU()
    assert_same_as_reference(model, tokenizer, encode, TEMPLATES, names)


@pytest.mark.parametrize("limits", [(10_000, 2**30), (30, 0)], ids=["kept", "encoded twice"])
def test_learned_tokens_in_later_blocks(limits):
    """Also beside learned keys and values, and replaced tokens, in several blocks."""
    tower = replace(deep_backbone().text, chunk_rows=limits[0], memory=limits[1])
    prompts, blocks = batch(tower)
    keys, learned = keys_of("candidates", tower.width)
    befores, _ = soft_blocks(tower, TEMPLATES)
    deep = [drawn(1, len(block), tower.width, seed=7) for block in befores]
    prompts = replace(prompts.with_deep(deep), keys=keys)
    tensors = learned + [block for block in deep if block.numel()] + blocks
    ours, exact = tower.encode_prompts(prompts), tower.encode_prompts_plain(prompts)
    assert relative_error(ours.detach(), exact.detach()) < 1e-5
    for own, expected in zip(gradients(ours, tensors), gradients(exact, tensors), strict=True):
        assert relative_error(own, expected) < 1e-5
