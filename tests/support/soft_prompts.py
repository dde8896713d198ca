"""Soft prompts of very different lengths, and how an encoder is compared with the slow loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mocoop.clip.text_tower import TextTower
from mocoop.prompt_encoder.layout import ClassTokens, PromptBatch, soft_tokens
from tests.support import reference

NAMES = ("cat", "fleur de lis", "black and white ruffed lemur", "itap of a", "7")
TEMPLATES = (
    "{}",
    "a photo of a {}",
    "a {}, seen from very far away through the old window of a moving train.",
    "itap of a {}.",
    "a bad, dark, low resolution and badly cropped black and white photo of the hard to see {}!",
)


def soft_blocks(tower, templates, trainable=True):
    """Returns each template's blocks, moved away from the embeddings they started from."""
    generator = torch.Generator().manual_seed(3)
    befores, afters = [], []
    for template in templates:
        for block, blocks in zip(
            soft_tokens(tower.tokens, template), (befores, afters), strict=True
        ):
            noise = 0.02 * torch.randn(block.shape, generator=generator)
            blocks.append((block + noise).requires_grad_(trainable))
    return befores, afters


def relative_error(got, expected):
    """Returns the norm of the difference over the norm of what was expected."""
    assert got.shape == expected.shape
    return float((got - expected).norm() / expected.norm())


def assert_same_as_reference(model, tokenizer, encode, templates, names, tolerance=1e-5):
    """Asserts equal features, and equal gradients with respect to every soft token."""
    tower = TextTower.from_model(model, tokenizer)
    befores, afters = soft_blocks(tower, templates)
    blocks = [block for block in befores + afters if len(block)]
    prompts = PromptBatch.build(
        tower.tokens, ClassTokens.from_names(tower.tokens, names), befores, afters
    )
    fast = encode(tower, prompts)
    slow = reference.encode_prompts(model, tokenizer, befores, names, afters)
    assert relative_error(fast.detach(), slow.detach()) < tolerance
    generator = torch.Generator().manual_seed(4)
    pull = torch.randn(slow.shape, generator=generator)  # a different pull on every feature
    fast_gradients = torch.autograd.grad((fast * pull).sum(), blocks)
    slow_gradients = torch.autograd.grad((slow * pull).sum(), blocks)
    for got, expected in zip(fast_gradients, slow_gradients, strict=True):
        assert relative_error(got, expected) < tolerance
        for token, expected_token in zip(got, expected, strict=True):
            assert relative_error(token, expected_token) < 10 * tolerance


def encode_texts(tower: TextTower, texts: Sequence[str]) -> Tensor:
    """Returns L2-normalised features (texts, dim) of plain texts."""
    tokens = tower.tokens.tokenizer(list(texts), context_length=tower.context_length)
    with torch.no_grad():
        features = tower.encode_tokens(tokens)
    return torch.nn.functional.normalize(features, dim=-1)
