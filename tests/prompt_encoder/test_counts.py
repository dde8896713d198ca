"""Tokens and operations of a step against the formula: counts, not seconds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mocoop.prompt_encoder.layout import ClassTokens, PromptBatch
from tests.support.soft_prompts import NAMES, TEMPLATES, soft_blocks


def counted(what):
    """Returns the operations of the products in a call."""
    counter = FlopCounterMode(display=False)
    with counter:
        what()
    return counter.get_total_flops()


def linear_operations(tower, rows, ends):
    """Returns the operations of the linear layers, forward or backward, by the formula.

    A token takes 24 width² in a block: 6 for queries, keys and values, 2 for the output, 16 for
    the hidden layer of 4 width. In the last block, all tokens give keys and values alone, and
    the rest is done at each [EOS].
    """
    width, blocks = tower.width, len(tower.transformer.resblocks)
    return (blocks - 1) * 24 * width**2 * rows + (4 * rows + 20 * ends) * width**2


@pytest.mark.parametrize("templates", [TEMPLATES[1:2], TEMPLATES[1:]], ids=["one", "four"])
def test_a_step_does_what_the_formula_says(demo_backbone, templates):
    """Every prefix once, every pair's own tokens once, and next to nothing besides."""
    tower = demo_backbone.text
    befores, afters = soft_blocks(tower, templates)
    prompts = PromptBatch.build(
        tower.tokens, ClassTokens.from_names(tower.tokens, NAMES), befores, afters
    )
    names = [len(tower.tokens.tokenizer.encode(name)) for name in NAMES]
    own = sum(
        length + len(after) + 1 for after in afters for length in names
    )  # name, after, [EOS]
    rows = own + sum(1 + len(before) for before in befores)
    assert sum(chunk.rows for chunk in prompts.layout.chunks(10_000)) == rows
    least = linear_operations(tower, rows, len(templates) * len(NAMES))
    project = 2 * len(templates) * len(NAMES) * tower.width * tower.dim
    features = []
    forward = counted(lambda: features.append(tower.encode_prompts(prompts)))
    blocks = [block for block in befores + afters if len(block)]
    backward = counted(lambda: torch.autograd.grad(features[0].sum(), blocks))
    # Attention comes on top: a few percent in a tower of real width, more in this narrow one.
    for found in (forward, backward):
        assert least + project <= found <= 1.35 * (least + project)
    plain = counted(lambda: tower.encode_prompts_plain(prompts))
    padded = len(templates) * len(NAMES) * tower.context_length
    assert plain >= padded / rows * least


def test_more_classes_cost_no_more_each(demo_backbone):
    """Operations per class fall with more classes, and per expert stay what they are."""
    tower = demo_backbone.text

    def operations(experts, classes):
        names = [f"{name} {number}" for number in range(classes // 5) for name in NAMES]
        befores, afters = soft_blocks(tower, experts * TEMPLATES[1:2])
        prompts = PromptBatch.build(
            tower.tokens, ClassTokens.from_names(tower.tokens, names), befores, afters
        )
        with torch.no_grad():
            return counted(lambda: tower.encode_prompts(prompts))

    assert operations(1, 50) / 50 < operations(1, 5) / 5
    one = operations(1, 20)
    assert operations(6, 20) / 6 == pytest.approx(one, rel=0.03)


def test_low_memory_costs_one_forward_pass_more(demo_backbone):
    """Chunks that are not kept are encoded once more in the backward pass."""
    befores, afters = soft_blocks(demo_backbone.text, TEMPLATES)
    blocks = [block for block in befores + afters if len(block)]

    def operations(memory):
        tower = replace(demo_backbone.text, memory=memory)
        prompts = PromptBatch.build(
            tower.tokens, ClassTokens.from_names(tower.tokens, NAMES), befores, afters
        )
        parts = []
        forward = counted(lambda: parts.append(tower.encode_prompts(prompts)))
        return forward, counted(lambda: torch.autograd.grad(parts[0].sum(), blocks))

    forward, backward = operations(2**33)
    low_forward, low_backward = operations(0)
    assert forward == low_forward
    project = 2 * len(TEMPLATES) * len(NAMES) * demo_backbone.text.width * demo_backbone.text.dim
    assert low_backward == backward + forward - project
