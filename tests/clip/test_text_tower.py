"""The shared-prefix encoder against the plain one, forward and backward."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from open_clip.factory import get_model_config
from open_clip.model import _build_text_tower
from open_clip.transformer import CustomResidualAttentionBlock

from mocoop.clip.text_tower import TextTower
from mocoop.errors import UserError
from mocoop.prompt_encoder.layout import ClassTokens, PromptBatch, soft_tokens
from mocoop.small_clip.config import SmallClipConfig
from mocoop.small_clip.model import build_model
from tests.support import reference
from tests.support.soft_prompts import (
    NAMES,
    TEMPLATES,
    assert_same_as_reference,
    relative_error,
    soft_blocks,
)
from tests.support.tiny import tiny_clip, unsettle

PLAIN = TextTower.encode_prompts_plain
FAST = TextTower.encode_prompts


@pytest.mark.parametrize("encode", [FAST, PLAIN], ids=["shared", "plain"])
@pytest.mark.parametrize("custom_text", [False, True])
@pytest.mark.parametrize("options", [{}, {"ls_init_value": 0.3}, {"context_length": 40}])
def test_tiny_tower(tokenizer, encode, custom_text, options):
    """Both paths equal the loop for experts of very different lengths."""
    model = tiny_clip(custom_text=custom_text, **options)
    assert TextTower.from_model(model, tokenizer).shares_prefixes
    assert_same_as_reference(model, tokenizer, encode, TEMPLATES, NAMES)


@pytest.mark.parametrize("template", TEMPLATES[1:])
def test_one_expert_and_one_class(tokenizer, template):
    """A single prompt needs no padding anywhere and is as exact."""
    assert_same_as_reference(tiny_clip(), tokenizer, FAST, [template], ["house"])


def test_demo_architecture(tokenizer):
    """The architecture of the demo CLIP is served exactly."""
    model = build_model(SmallClipConfig()).eval().requires_grad_(False)
    assert_same_as_reference(model, tokenizer, FAST, TEMPLATES, NAMES)


@pytest.mark.parametrize("architecture", ["ViT-B-32", "ViT-B-16-quickgelu"])
def test_full_size_towers(tokenizer, architecture):
    """Text towers of CLIP's real size are served exactly."""
    config = get_model_config(architecture)
    quick = config.get("quick_gelu", False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tower = _build_text_tower(config["embed_dim"], config["text_cfg"], quick)
        unsettle(tower)
    tower.eval().requires_grad_(False)
    assert_same_as_reference(tower, tokenizer, FAST, TEMPLATES[1:4], NAMES[:3])


@pytest.mark.parametrize("pool", ["argmax", "first", "last"])
def test_non_causal_towers_take_the_plain_path(tokenizer, pool):
    """A tower whose tokens see what follows is never served by the shared-prefix path."""
    model = tiny_clip(custom_text=True, no_causal_mask=True, pool_type=pool)
    tower = TextTower.from_model(model, tokenizer)
    assert not tower.shares_prefixes
    assert_same_as_reference(model, tokenizer, FAST, TEMPLATES, NAMES)


def test_custom_blocks_take_the_plain_path(tokenizer):
    """Blocks that the shared-prefix path does not know are served by their own forward."""
    model = tiny_clip(custom_text=True, block_type="custom", qk_norm=True)
    assert isinstance(model.text.transformer.resblocks[0], CustomResidualAttentionBlock)
    assert not TextTower.from_model(model, tokenizer).shares_prefixes
    assert_same_as_reference(model, tokenizer, FAST, TEMPLATES, NAMES)


def test_plain_path_would_differ_without_the_causal_mask(tokenizer):
    """The shared-prefix path is wrong for a non-causal tower, so its refusal matters."""
    model = tiny_clip(custom_text=True, no_causal_mask=True)
    tower = TextTower.from_model(model, tokenizer)
    causal = dataclasses.replace(tower, causal_mask=torch.full((77, 77), -torch.inf).triu(1))
    befores, afters = soft_blocks(tower, TEMPLATES, trainable=False)
    prompts = PromptBatch.build(
        tower.tokens, ClassTokens.from_names(tower.tokens, NAMES), befores, afters
    )
    wrong, right = causal.encode_prompts(prompts), tower.encode_prompts(prompts)
    assert relative_error(wrong, right) > 1e-3


OPTIONS = [
    {},
    {"custom_text": True},
    {"custom_text": True, "no_causal_mask": True},
    {"custom_text": True, "no_causal_mask": True, "pool_type": "last"},
    {"custom_text": True, "pool_type": "last"},
    {"custom_text": True, "pool_type": "first"},
    {"custom_text": True, "proj_type": "none"},
    {"custom_text": True, "proj_bias": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_texts_equal_open_clip(tokenizer, options):
    """Hard prompts are encoded as open_clip does, and so is a soft prompt of the same tokens."""
    model = tiny_clip(**options)
    tower = TextTower.from_model(model, tokenizer)
    texts = [f"a photo of a {name}." for name in NAMES]
    expected = model.encode_text(tokenizer(texts))
    torch.testing.assert_close(tower.encode_tokens(tokenizer(texts)), expected)
    before, after = soft_tokens(tower.tokens, "a photo of a {}.")
    prompts = PromptBatch.build(
        tower.tokens, ClassTokens.from_names(tower.tokens, NAMES), [before], [after]
    )
    torch.testing.assert_close(tower.encode_prompts(prompts)[0], expected, rtol=1e-4, atol=1e-5)
    looped = reference.encode_prompts(model, tokenizer, [before], NAMES, [after])[0]
    torch.testing.assert_close(looped, expected, rtol=1e-4, atol=1e-5)


def test_tokens_are_counted_by_the_tokenizer(tiny_backbone):
    """A name or template of few words can have more tokens."""
    tower = tiny_backbone.text
    classes = ClassTokens.from_names(tower.tokens, ["itap of a", "cat", "black_bishop"])
    assert classes.lengths.tolist() == [4, 1, 2]
    assert classes.ids.tolist()[-2:] == tower.tokens.tokenizer.encode("black bishop")
    before, after = soft_tokens(tower.tokens, "itap of a {}.")
    assert (len(before), len(after)) == (4, 1)


def test_soft_tokens_start_from_the_template(tiny_backbone):
    """The blocks are copies of the template's token embeddings."""
    tower = tiny_backbone.text
    before, after = soft_tokens(tower.tokens, "a photo of a {}.")
    ids = tower.tokens.tokenizer.encode("a photo of a")
    assert torch.equal(before, tower.tokens.embedding.weight[ids])
    assert torch.equal(after, tower.tokens.embedding.weight[tower.tokens.tokenizer.encode(".")])
    before.zero_()
    assert tower.tokens.embedding.weight[ids].abs().min() > 0


def test_longest_prompt_that_fits(tokenizer):
    """A prompt may use the context to its last place, and not one token more."""
    model = tiny_clip(context_length=12)
    tower = TextTower.from_model(model, tokenizer)
    template = "a photo of a {}."  # [SOS], 4 before, 1 after, [EOS]: 5 are left
    name = "one two three four five"
    assert_same_as_reference(model, tokenizer, FAST, [template], [name, "cat"])
    before, after = soft_tokens(tower.tokens, template)
    with pytest.raises(UserError, match=r"has 13 tokens, but this CLIP reads at most 12"):
        PromptBatch.build(
            tower.tokens, ClassTokens.from_names(tower.tokens, [f"{name} six"]), [before], [after]
        )
    assert tower.encode_template(template, [name]).shape == (1, tower.dim)
    with pytest.raises(UserError, match=r"six.* has 13 tokens.*Shorten the class name"):
        tower.encode_template(template, [f"{name} six"])


@pytest.mark.parametrize("template", ["a photo{}", "{}s on a table", "no{}body"])
def test_template_that_does_not_split(tiny_backbone, template):
    """A template whose slot melts into a word is refused."""
    with pytest.raises(UserError, match=r"cannot be split at its .* into whole tokens"):
        soft_tokens(tiny_backbone.text.tokens, template)


@pytest.mark.parametrize("name", ["", " ", "_"])
def test_name_without_a_token(tiny_backbone, name):
    """A class name that the tokenizer reads as nothing is refused."""
    with pytest.raises(UserError, match="contains no word"):
        ClassTokens.from_names(tiny_backbone.text.tokens, ["cat", name])


def test_foreign_towers_are_refused(tokenizer, tiny_backbone):
    """A tower without open_clip's parts, or another tokenizer, takes no soft prompts."""
    with pytest.raises(UserError, match=r"does not support soft prompts.*got SimpleNamespace"):
        TextTower.from_model(SimpleNamespace(), tokenizer)
    with pytest.raises(UserError, match=r"does not support soft prompts.*CLIP with function"):
        TextTower.from_model(tiny_backbone.model, lambda texts: texts)


def test_towers_with_a_class_token_are_refused(tokenizer):
    """CoCa appends a class token that soft prompts do not have."""
    model = tiny_clip(custom_text=True, embed_cls=True)
    with pytest.raises(UserError, match="does not support soft prompts: it appends its own class"):
        TextTower.from_model(model, tokenizer)
