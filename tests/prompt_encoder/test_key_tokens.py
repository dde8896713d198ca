"""Learned keys and values of the text tower's blocks, beside a plain encoder of 77 tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mocoop.prompt_encoder.frozen_blocks import kept_bytes, run_blocks
from mocoop.prompt_encoder.key_tokens import KeyTokens, merged_softmax
from mocoop.prompt_encoder.layout import ClassTokens, PromptBatch
from tests.parity import dpl as plain
from tests.support.deep_clip import deep_backbone
from tests.support.soft_prompts import NAMES, TEMPLATES, relative_error, soft_blocks

COUNTS = {
    "every block": (3, 1, 2),
    "not the first": (0, 4),
    "the last alone": (0, 0, 2),
    "the first alone": (2,),
}
CANDIDATES = (1, 2, 3)


def drawn(*shape, seed=5, scale=1.0):
    values = scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return values.requires_grad_()


def keys_of(case, width):
    """Returns learned keys and values, and the tensors that they are made of."""
    if case == "candidates":
        alphas = drawn(3, 1 + len(CANDIDATES))
        values = tuple(drawn(sum(CANDIDATES), width, seed=seed) for seed in range(3))
        return KeyTokens(values, CANDIDATES, alphas.softmax(dim=-1)), [*values, alphas]
    values = tuple(drawn(count, width, seed=count) for count in COUNTS[case])
    return KeyTokens(values), [tokens for tokens in values if len(tokens)]


def gradients(features, learned):
    pull = torch.randn(features.shape, generator=torch.Generator().manual_seed(4))
    return torch.autograd.grad((features * pull).sum(), learned, retain_graph=True)


@pytest.mark.parametrize("limits", [(10_000, 2**30), (30, 0)], ids=["kept", "encoded twice"])
@pytest.mark.parametrize("case", [*COUNTS, "candidates"])
def test_the_shared_prefix_encoder_is_exact(case, limits):
    """Features and gradients, also with replaced tokens in later blocks, and without memory."""
    backbone = deep_backbone()
    tower = replace(backbone.text, chunk_rows=limits[0], memory=limits[1])
    befores, afters = soft_blocks(tower, TEMPLATES)
    keys, learned = keys_of(case, tower.width)
    classes = ClassTokens.from_names(tower.tokens, NAMES)
    prompts = PromptBatch.build(tower.tokens, classes, befores, afters)
    deep = [drawn(1, len(block), tower.width, seed=7) for block in befores]
    for batch, others in (
        (prompts, []),
        (prompts.with_deep(deep), [b for b in deep if b.numel()]),
    ):
        batch = replace(batch, keys=keys)
        tensors = learned + others + [block for block in befores + afters if len(block)]
        ours, exact = tower.encode_prompts(batch), tower.encode_prompts_plain(batch)
        assert relative_error(ours.detach(), exact.detach()) < 1e-5
        for own, expected in zip(gradients(ours, tensors), gradients(exact, tensors), strict=True):
            assert relative_error(own, expected) < 1e-5


def test_the_memory_for_the_backward_pass_is_the_formula():
    tower = deep_backbone().text
    befores, afters = soft_blocks(tower, TEMPLATES, trainable=False)
    classes = ClassTokens.from_names(tower.tokens, NAMES)
    prompts = PromptBatch.build(tower.tokens, classes, befores, afters)
    blocks = tower.blocks.weights(torch.float32)
    for case in ("not the first", "candidates"):
        keys, _ = keys_of(case, tower.width)
        for chunk in prompts.layout.chunks(60):
            rows = prompts.table[chunk.source] + tower.positional_embedding[chunk.position]
            with torch.no_grad():
                _, kept = run_blocks(rows, chunk, blocks, keep=True, keys=keys)
            assert sum(t.nbytes for t in kept) == kept_bytes(chunk, blocks, keys.counts)


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_merged_softmaxes_are_the_sum_of_all(scale):
    """Weights and gradients in fp64, and finite ones in fp32 where exponentials overflow."""
    scores, alphas = drawn(4, 9 + 21, scale=scale), drawn(7, seed=2)
    lengths = (1, 2, 3, 4, 5, 6)
    shares = alphas.softmax(dim=-1)
    ours = merged_softmax(scores, lengths, shares)
    wide, ours_alphas = scores.detach().double().requires_grad_(), alphas.detach().double()
    ours_alphas.requires_grad_()
    naive = plain.summed_softmaxes(wide, lengths, ours_alphas.softmax(dim=-1))
    torch.testing.assert_close(ours, naive.float(), rtol=1e-5, atol=1e-6)
    pull = torch.randn(naive.shape, generator=torch.Generator().manual_seed(1))
    own = torch.autograd.grad((ours * pull).sum(), (scores, alphas))
    expected = torch.autograd.grad((naive * pull).sum(), (wide, ours_alphas))
    for found, exact in zip(own, expected, strict=True):
        torch.testing.assert_close(found, exact.float(), rtol=1e-4, atol=1e-6)
