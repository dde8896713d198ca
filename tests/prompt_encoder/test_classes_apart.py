"""Classes do not see each other: neither their order nor the names of others change features."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mocoop.model.build import build_model
from mocoop.model.image_shift import Pairs
from mocoop.prompt_encoder.layout import ClassTokens, PromptBatch
from tests.prompt_encoder.test_key_tokens import drawn, keys_of
from tests.support import method_cases as cases
from tests.support.deep_clip import deep_backbone
from tests.support.soft_prompts import TEMPLATES, soft_blocks

# Some begin with the same tokens, which the encoder runs once.
NAMES = ("old house", "old house by the sea", "cat", "old", "cat and dog", "itap of a")
ORDER = [4, 0, 5, 2, 1, 3]
CHANGED, OTHER = 1, "old lighthouse with a very long name"
LIMITS = {"one chunk": (10_000, 2**30), "many chunks": (30, 0)}
CONDITIONAL = {
    "from the start": {},
    "deep": {"text_depth": 3},
    "late": {"text_depth": 3, "condition_from": 2},
    "a network for each": {"text_depth": 2, "shift_per_expert": True},
}


@pytest.fixture(scope="module")
def backbone():
    return deep_backbone()


@pytest.fixture(params=LIMITS.values(), ids=LIMITS)
def tower(request, backbone):
    """A small text tower that encodes all prompts at once, or a few at a time."""
    rows, memory = request.param
    found = replace(backbone.text, chunk_rows=rows, memory=memory)
    assert found.shares_prefixes
    return found


def assert_apart(encode):
    """Checks that `encode`, names → (..., classes, more), treats every class alone."""
    before = encode(NAMES)
    permuted = encode(tuple(NAMES[index] for index in ORDER))
    torch.testing.assert_close(permuted, before[:, ORDER], rtol=1e-5, atol=1e-5)
    renamed = encode((*NAMES[:CHANGED], OTHER, *NAMES[CHANGED + 1 :]))
    rest = [index for index in range(len(NAMES)) if index != CHANGED]
    torch.testing.assert_close(renamed[:, rest], before[:, rest], rtol=1e-5, atol=1e-5)
    assert (renamed[:, CHANGED] - before[:, CHANGED]).abs().max() > 1e-3


@pytest.mark.parametrize("deep", [False, True], ids=["context", "deep tokens"])
@pytest.mark.parametrize("keys", [None, "every block", "candidates"])
def test_prompts_with_tokens_of_later_blocks_and_keys(tower, deep, keys):
    befores, afters = soft_blocks(tower, TEMPLATES, trainable=False)
    later = [drawn(2, len(block), tower.width, seed=7) for block in befores]

    def encode(names):
        classes = ClassTokens.from_names(tower.tokens, names)
        batch = PromptBatch.build(tower.tokens, classes, befores, afters)
        batch = batch.with_deep(later) if deep else batch
        if keys is not None:
            batch = replace(batch, keys=keys_of(keys, tower.width)[0])
        return tower.encode_prompts(batch).detach()  # (experts, classes, dim)

    assert_apart(encode)


@pytest.mark.parametrize("case", CONDITIONAL)
def test_prompts_that_see_the_image(backbone, tower, case):
    """Text features of every pair of an image and an expert, and the mixture's logits."""
    groups = cases.GROUPS | {"sketch": ("a drawing of {}.",)}
    changes = {"groups": groups, "zero_shift": False, "num_chosen": 2} | CONDITIONAL[case]
    config = cases.settings("mocoop-cond", **changes)
    model = build_model(config, backbone, groups, torch.Generator().manual_seed(1))
    images = cases.features_of(3)
    pairs = Pairs.chosen(model.gate(images), 2)

    @torch.no_grad()
    def features(names):
        classes = ClassTokens.from_names(tower.tokens, names)
        return model.pair_features(tower, classes, images, pairs)

    @torch.no_grad()
    def logits(names):
        classes = ClassTokens.from_names(tower.tokens, names)
        return model.conditional(tower, classes, images).logits / model.logit_scale

    assert_apart(features)
    assert_apart(logits)
