"""CLIP-LoRA beside a plain restatement of it: forward, gradients, five steps, counts."""

from __future__ import annotations

from dataclasses import replace

import open_clip
import pytest
import torch

from mocoop.clip.low_rank import LowRank
from mocoop.clip.text_tower import TextTower
from mocoop.errors import UserError
from mocoop.model.build import build_model
from mocoop.model.low_rank_updates import low_rank_updates
from mocoop.model.vision_prompts import tuned_tower
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.optimizer import PromptOptimizer
from mocoop.training.step_losses import step_losses
from tests.parity.lora import PlainLora
from tests.support import method_cases as cases
from tests.support.deep_clip import deep_backbone, deep_clip

STEPS = 5
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


def settings(**changes):
    """Returns the published settings with one template and a training of five steps."""
    config = preset("clip-lora", "ViT-B-16-quickgelu/openai")
    usual = {"groups": {"prompt": ("a photo of a {}.",)}, "precision": "fp32", "epochs": 1}
    return replace(config, **(usual | {"lora_dropout": 0.0} | changes))


def make(config, backbone=None):
    """Returns a backbone, the library's model with its data, and the restatement."""
    backbone = backbone or deep_backbone()
    model, data = cases.product(config, backbone, cases.NAMES[: cases.NUM_SEEN], cases.NUM_SEEN)
    sentences = [f"a photo of a {name}." for name in data.class_names]
    first = {name: value.detach() for name, value in model.lora.named_parameters()}
    plain = PlainLora(backbone.model, backbone.tokenizer, sentences, first, config.lora_alpha)
    return backbone, model, data, plain


def random_up(model, seed=0):
    """Gives B random values, since zeros would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in (model.lora.image_up, model.lora.text_up):
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))


def masks_of(generator, blocks, shape, dropout):
    """Returns masks[block][part], as the library draws them from a step's generator."""
    seeds = torch.randint(2**62, (blocks,), generator=generator).tolist()
    masks = []
    for seed in seeds:
        drawn = torch.Generator().manual_seed(seed)
        kept = [torch.empty(shape).bernoulli_(1 - dropout, generator=drawn) for _ in range(3)]
        masks.append([part / (1 - dropout) for part in kept])
    return masks


def step(model, backbone, data, config, batch, generator):
    """Returns the library's losses of a batch."""
    pictures, labels = batch
    tower = backbone.text
    features = model.image_features(backbone.model.visual, pictures, generator)
    classes = ClassTokens.from_names(tower.tokens, data.class_names)
    return step_losses(model, tower, classes, features, labels, data, config, generator)[0]


@pytest.mark.parametrize("pool", ["tok", "avg"])
def test_untrained_is_the_frozen_clip(pool):
    """B is zero at the start, so that nothing has changed yet."""
    backbone = deep_backbone(vision={"pool_type": pool})
    model, _ = cases.product(settings(), backbone, cases.NAMES, cases.NUM_SEEN)
    pictures, _ = cases.batch_of(1)
    found = model.image_features(backbone.model.visual, pictures)
    torch.testing.assert_close(found, backbone.image_features(pictures))
    classes = ClassTokens.from_names(backbone.text.tokens, cases.NAMES)
    soft = model.text_features(backbone.text, classes)[0]
    hard = backbone.text.encode_template("a photo of a {}.", cases.NAMES)
    torch.testing.assert_close(soft, hard)


@pytest.mark.parametrize("pool", ["tok", "avg"])
def test_features_equal_the_restatement(pool):
    """The text tower stops at the longest [EOS], the restatement reads all 77 tokens."""
    config = settings(lora_rank=3, lora_alpha=2.0)
    backbone = deep_backbone(vision={"pool_type": pool})
    model, _ = cases.product(config, backbone, cases.NAMES, cases.NUM_SEEN)
    random_up(model)
    sentences = [f"a photo of a {name}." for name in cases.NAMES]
    first = {name: value.detach() for name, value in model.lora.named_parameters()}
    plain = PlainLora(backbone.model, backbone.tokenizer, sentences, first, 2.0)
    pictures, _ = cases.batch_of(1)
    seen = model.image_features(backbone.model.visual, pictures)
    torch.testing.assert_close(seen, plain.images(pictures), rtol=1e-5, atol=1e-6)
    classes = ClassTokens.from_names(backbone.text.tokens, cases.NAMES)
    soft = model.text_features(backbone.text, classes)[0]
    torch.testing.assert_close(soft, plain.texts(), rtol=1e-5, atol=1e-6)
    frozen = backbone.image_features(pictures)
    assert (seen - frozen).abs().max() > 1e-2  # the updates do matter here


@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_five_steps_equal_the_restatement(dropout):
    """Loss, gradients and weights; the dropout's masks are shared."""
    config = settings(lora_dropout=dropout)
    backbone, model, data, plain = make(config)
    ours = PromptOptimizer(model, config)
    theirs, schedule = plain.optimizer(STEPS)
    one, other = (torch.Generator().manual_seed(7) for _ in range(2))
    longest = 1 + int((plain.tokens.argmax(dim=-1)).max())
    width = backbone.text.width
    for number in range(STEPS):
        pictures, labels = cases.batch_of(number)
        if dropout:
            tokens = (len(pictures), 5, backbone.model.visual.transformer.width)
            plain.set_masks("image", masks_of(other, 3, tokens, dropout))
            texts = (len(plain.tokens), longest, width)
            plain.set_masks("text", masks_of(other, 3, texts, dropout))
        losses = step(model, backbone, data, config, (pictures, labels), one)
        expected = plain.loss(pictures, labels)
        torch.testing.assert_close(losses["total"], expected, rtol=1e-5, atol=1e-5)
        theirs.zero_grad()
        expected.backward()
        ours.set_step(number, STEPS)
        ours.step(losses, 1, number + 1)
        gradients = plain.gradients()
        for name, value in model.lora.named_parameters():
            torch.testing.assert_close(value.grad, gradients[name], rtol=1e-3, atol=1e-5)
        theirs.step()
        schedule.step()
    moved = plain.learned()
    for name, value in model.lora.named_parameters():
        torch.testing.assert_close(value, moved[name], **CLOSE)
    assert model.lora.image_up.abs().max() > 0


def test_gradients_with_large_updates():
    config = settings()
    backbone, model, data, _ = make(config)
    random_up(model)
    sentences = [f"a photo of a {name}." for name in data.class_names]
    first = {name: value.detach() for name, value in model.lora.named_parameters()}
    plain = PlainLora(backbone.model, backbone.tokenizer, sentences, first, config.lora_alpha)
    pictures, labels = cases.batch_of(3)
    losses = step(model, backbone, data, config, (pictures, labels), None)
    losses["total"].backward()
    plain.loss(pictures, labels).backward()
    for name, value in plain.gradients().items():
        torch.testing.assert_close(
            model.lora.get_parameter(name).grad, value, rtol=1e-4, atol=1e-5
        )


def test_short_memory_changes_no_bit():
    """Blocks that are computed twice draw the same dropout again."""
    config = settings(lora_dropout=0.25)
    backbone, model, data, _ = make(config)
    random_up(model)
    classes = ClassTokens.from_names(backbone.text.tokens, data.class_names)
    found = []
    for memory in (2**40, 0):
        tower = replace(backbone.text, memory=memory)
        generator = torch.Generator().manual_seed(1)
        soft = model.text_features(tower, classes, generator=generator)
        found.append(torch.autograd.grad(soft[..., 0].sum(), [model.lora.text_down])[0])
    assert torch.equal(*found)


def test_merged_weights_answer_as_the_model():
    """A run's tuned tower has the updates in its weights; both ways agree."""
    config = settings()
    backbone, model, _, _ = make(config)
    random_up(model)
    tuned = tuned_tower(config, model.state_dict())
    pictures, _ = cases.batch_of(2)
    merged = backbone.with_tuned(tuned)
    assert merged.fingerprint != backbone.fingerprint
    seeds = (1,) * 3
    explicit = replace(tuned, updates=replace(tuned.updates, seeds=seeds, dropout=0.0))
    with torch.no_grad():
        one = explicit.features(backbone.model.visual, pictures)
    torch.testing.assert_close(merged.image_features(pictures), one, rtol=1e-5, atol=1e-6)


def test_towers_with_the_tokens_first():
    """open_clip's older towers take their tokens as the first axis."""
    config = settings()
    backbone, model, _, _ = make(config)
    random_up(model)
    pictures, _ = cases.batch_of(2)
    expected = model.image_features(backbone.model.visual, pictures)
    visual = deep_clip().visual
    visual.transformer.batch_first = False
    for block in visual.transformer.resblocks:
        block.attn.batch_first = False
    tuned = model.tuned_tower()
    explicit = replace(tuned, updates=replace(tuned.updates, seeds=(1,) * 3))
    for one in (tuned, explicit):
        torch.testing.assert_close(one.features(visual, pictures), expected, rtol=1e-5, atol=1e-6)


def test_updates_in_bf16():
    """Autocast changes only the towers' products: gradients stay near those of fp32."""
    backbone = deep_backbone()
    found = []
    for precision in ("fp32", "bf16"):
        config = settings(precision=precision, lora_dropout=0.25)
        model, data = cases.product(config, backbone, cases.NAMES, cases.NUM_SEEN)
        random_up(model)
        generator = torch.Generator().manual_seed(3)
        losses = step(model, backbone, data, config, cases.batch_of(2), generator)
        losses["total"].backward()
        gradients = [value.grad for value in model.lora.parameters()]
        assert all(value.dtype == torch.float32 for value in gradients)
        found.append(torch.cat([value.flatten() for value in gradients]))
    assert torch.cosine_similarity(*found, dim=0) > 0.98


def test_updates_beside_learned_tokens():
    """LoRA and learned tokens of both kinds together: explicit and merged forms agree."""
    for insertion in ("replace", "keys"):
        config = settings(vision_depth=2, vision_prompts=2, vision_insertion=insertion)
        backbone, model, _, _ = make(config)
        random_up(model)
        pictures, _ = cases.batch_of(2)
        tuned = model.tuned_tower()
        explicit = replace(tuned, updates=replace(tuned.updates, seeds=(1,) * 3))
        merged = tuned.features(backbone.model.visual, pictures)
        found = explicit.features(backbone.model.visual, pictures)
        torch.testing.assert_close(merged, found, rtol=1e-5, atol=1e-6)


def test_updates_beside_deep_text_tokens():
    """Deep text tokens with updates of zero are those of the frozen tower."""
    config = settings(learn_context=True, text_depth=3, context_init="words")
    backbone, model, _, _ = make(config)
    classes = ClassTokens.from_names(backbone.text.tokens, cases.NAMES)
    with_updates = model.text_features(backbone.text, classes)
    model.lora = None
    torch.testing.assert_close(
        with_updates, model.text_features(backbone.text, classes), rtol=1e-5, atol=1e-6
    )


def test_the_published_count():
    """184,320 learned parameters at ViT-B/16 with rank 2, as published."""
    config = settings()
    with torch.device("meta"):
        clip = open_clip.create_model("ViT-B-16-quickgelu", device="meta")
    text = TextTower.from_model(clip, open_clip.get_tokenizer("ViT-B-16"))
    updates = low_rank_updates(config, clip.visual, text, torch.Generator())
    assert sum(value.numel() for value in updates.parameters()) == 184_320


def test_first_values():
    """A is uniform within 1 / sqrt(width), B is zero."""
    backbone = deep_backbone()
    _, model, _, _ = make(settings(), backbone)
    bound = backbone.text.width**-0.5
    down = model.lora.text_down
    assert bound * 0.9 < down.abs().max() <= bound
    assert model.lora.text_up.abs().max() == 0
    assert isinstance(model.lora.of("text"), LowRank)
    assert model.lora.of("text").scale == pytest.approx(2**-0.5)


def test_refusals():
    backbone = deep_backbone()
    build = lambda clip, **changes: build_model(
        settings(**changes), clip, settings().groups, torch.Generator()
    )
    with pytest.raises(UserError, match=r"lora_rank is 33.*Choose 1 to 32"):
        build(backbone, lora_rank=33)
    build(backbone, lora_rank=32)
    with pytest.raises(UserError, match="lora_dropout"):
        settings(lora_dropout=1.0)
    with pytest.raises(UserError, match="lora_rank changes the image features"):
        settings(image_cache=True, augment="none")
    with pytest.raises(UserError, match="warmup_epochs to 0"):
        settings(warmup_epochs=1)
    with pytest.raises(UserError, match="steps_per_shot is 5"):
        settings(steps_per_shot=5, epochs=6)


def test_a_resnet_is_refused():
    tower = open_clip.model.ModifiedResNet((1, 1, 1, 1), 16, 8, 32, 8)
    text = deep_backbone().text
    with pytest.raises(UserError, match="image tower takes no low-rank updates"):
        low_rank_updates(settings(), tower, text, torch.Generator())
