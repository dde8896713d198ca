"""Tokens of each expert in the last blocks of the image tower, against a loop over experts."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mocoop.clip.late_tokens import expert_features
from mocoop.errors import UserError
from mocoop.model.build import build_model
from mocoop.model.mixture import predict
from mocoop.model.vision_prompts import tuned_backbone
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.step_losses import step_losses
from tests.parity import towers
from tests.support.deep_clip import DEPTH, deep_backbone
from tests.support.method_cases import product

GROUPS = {"plain": ("a photo of a {}.",), "old": ("an old {}.",), "far": ("a {}, far away.",)}
NAMES = ("cat", "fleur de lis", "red cup")
DEPTHS = [(1, 2), (1, 1), (2, 1), (0, 2), (0, 3)]


def settings(shared, late, insertion="replace", **changes):
    """Returns the settings of a mixture of three experts."""
    config = replace(preset("mocoop-v"), vision_depth=shared, groups=GROUPS)
    return replace(
        config, expert_vision_depth=late, vision_insertion=insertion, vision_prompts=2, **changes
    )


def built(config, backbone, seed=1):
    """Returns a model whose router and tokens differ from image to image."""
    model = build_model(config, backbone, config.groups, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for tokens in model.vision.parameters():
            tokens *= 50.0
        usual = F.normalize(backbone.model.visual(pictures(5)), dim=-1).mean(dim=0)
        model.gate.weight *= 20.0
        model.gate.bias.copy_(-model.gate.weight @ usual)
    return model


def pictures(count, seed=2):
    return 4 * torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def plain_logits(model, backbone, images, soft):
    """Returns logits (batch, classes): one image, one expert at a time, through all blocks."""
    visual, config = backbone.model.visual, model.config
    blocks = len(visual.transformer.resblocks)
    rows = []
    for image in images:
        with torch.no_grad():
            frozen = F.normalize(visual(image[None]), dim=-1)[0]
        score = model.gate.weight @ frozen + model.gate.bias
        order = sorted(range(len(score)), key=lambda e: -score[e].item())[: config.num_chosen]
        total = 0.0
        for expert, share in zip(order, score[order].softmax(dim=0), strict=True):
            tokens = [None] * blocks
            for number in range(config.vision_depth):
                own = model.vision.values[number]
                tokens[number] = own if len(own) else None
            for number in range(config.expert_vision_depth):
                at = blocks - config.expert_vision_depth + number
                tokens[at] = model.vision.late[expert, number]
            seen = towers.see(visual, image[None], tokens, config.vision_insertion == "keys")[0]
            total = total + share * model.logit_scale * soft[expert] @ seen
        rows.append(total)
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("shared", "late", "insertion", "lengths"),
    [
        *((*depths, insertion, ()) for depths in DEPTHS for insertion in ("replace", "keys")),
        (2, 1, "keys", (0, 3)),
        (1, 2, "keys", (3,)),
    ],
)
def test_features_and_gradients(shared, late, insertion, lengths):
    """Logits and all gradients are those of a plain loop over images and experts."""
    backbone = deep_backbone()
    config = settings(shared, late, insertion, vision_lengths=lengths)
    model, images = built(config, backbone), pictures(5)
    classes = ClassTokens.from_names(backbone.text.tokens, NAMES)
    soft = model.text_features(backbone.text, classes).detach()
    features = model.training_features(backbone.model.visual, images)
    assert features.shape == (5, 4 * backbone.text.dim)
    mixture = model(features, soft)
    expected = plain_logits(model, backbone, images, soft)
    torch.testing.assert_close(mixture.logits, expected, rtol=1e-4, atol=1e-4)
    assert len({tuple(row.nonzero().flatten().tolist()) for row in mixture.weights}) > 1
    learned = [*model.vision.parameters(), *model.gate.parameters()]
    learned = [parameter for parameter in learned if parameter.numel()]
    labels = torch.tensor([0, 1, 2, 0, 1])
    got = torch.autograd.grad(F.cross_entropy(mixture.logits, labels), learned)
    wanted = torch.autograd.grad(F.cross_entropy(expected, labels), learned)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_only_chosen_experts_run(monkeypatch):
    """The last blocks see K pictures for each image, the blocks below one."""
    backbone = deep_backbone()
    model = built(settings(1, 1), backbone)
    sizes = []
    for block in backbone.model.visual.transformer.resblocks:
        block.register_forward_hook(lambda module, args, out: sizes.append(len(out)))
    model.image_features(backbone.model.visual, pictures(4))
    assert sizes == [4, 4, 4, 4, 4, 8]  # the frozen tower, then the learned one


def test_in_training_others_answer_by_the_frozen_tower():
    """In a step, an expert that is not chosen for an image is compared with the frozen feature."""
    backbone = deep_backbone()
    model, images = built(settings(1, 1), backbone), pictures(4)
    with torch.no_grad():
        features = model.image_features(backbone.model.visual, images)
        frozen = F.normalize(backbone.model.visual(images), dim=-1)
    own = expert_features(features, backbone.text.dim, 3)
    weights = predict(
        model, backbone.text, ClassTokens.from_names(backbone.text.tokens, NAMES), features
    ).weights
    for image in range(4):
        for expert in range(3):
            same = torch.allclose(own[image, expert], frozen[image], atol=1e-5)
            assert same == (weights[image, expert] == 0)


def test_after_the_training_every_expert_sees_every_image():
    """What the others would answer is by their own tokens; the mixture's answer is the same."""
    backbone, config = deep_backbone(), settings(1, 1)
    model, images = built(config, backbone), pictures(5)
    classes = ClassTokens.from_names(backbone.text.tokens, NAMES)
    soft = model.text_features(backbone.text, classes).detach()
    features = tuned_backbone(backbone, config, model.state_dict()).image_features(images)
    with torch.no_grad():
        mixture = model(features, soft)
        in_a_step = model(model.image_features(backbone.model.visual, images), soft)
    torch.testing.assert_close(mixture.logits, in_a_step.logits)
    for expert in range(3):
        alone = built(config, backbone)
        with torch.no_grad():
            alone.gate.weight.zero_()
            alone.gate.bias.copy_(torch.eye(3)[expert])
        alone = tuned_backbone(backbone, replace(config, num_chosen=1), alone.state_dict())
        seen = expert_features(alone.image_features(images), backbone.text.dim, 3)[:, expert]
        own = expert_features(features, backbone.text.dim, 3)[:, expert]
        torch.testing.assert_close(own, seen)
        torch.testing.assert_close(
            mixture.expert_logits[:, expert], model.logit_scale * own @ soft[expert].T
        )


def test_a_step_reaches_everything_that_is_learned():
    """A step moves the tokens of experts and those of all; saved weights give the same."""
    backbone = deep_backbone()
    config = settings(1, 1)
    model, data = product(config, backbone, NAMES, len(NAMES))
    images = pictures(6)
    classes = ClassTokens.from_names(backbone.text.tokens, NAMES)
    features = model.training_features(backbone.model.visual, images)
    labels = torch.arange(6) % 3
    losses, _ = step_losses(model, backbone.text, classes, features, labels, data, config)
    losses["total"].backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.numel():
            assert parameter.grad.abs().sum() > 0, name
    saved = {name: value.clone() for name, value in model.state_dict().items()}
    tuned = tuned_backbone(backbone, config, saved)
    assert tuned.feature_dim == 4 * backbone.text.dim
    found, dim = tuned.image_features(images), backbone.text.dim
    chosen = model(features, model.text_features(backbone.text, classes)).weights > 0
    own, now = (expert_features(of.detach(), dim, 3) for of in (features, found))
    torch.testing.assert_close(now[chosen], own[chosen])
    assert (now - own)[~chosen].abs().amax(dim=-1).min() > 1e-3  # those of a step are frozen
    other = tuned_backbone(backbone, config, saved | {"gate.bias": saved["gate.bias"] + 1.0})
    assert tuned.fingerprint != other.fingerprint
    with pytest.raises(UserError, match=re.escape("lack 'vision.late'")):
        tuned_backbone(backbone, config, {k: v for k, v in saved.items() if k != "vision.late"})


@pytest.mark.parametrize(
    ("shared", "late", "match"),
    [
        (1, DEPTH, r"has 3 blocks, and .* Choose 0 to 2, or a smaller vision_depth"),
        (DEPTH, 1, r"Choose 0, or a smaller vision_depth"),
    ],
)
def test_depth_beyond_the_tower(shared, late, match):
    backbone = deep_backbone()
    with pytest.raises(UserError, match=match):
        built(settings(shared, late), backbone)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"router_input": "tuned"}, "router_input frozen"),
        ({"method": "ivlp"}, "experts of a mixture"),
        ({"image_consistency": 1.0}, "without image_consistency"),
        ({"conditional": True}, "without image_consistency"),
        ({"vision_insertion": "keys", "length_epochs": 1}, "knows no tokens of each expert"),
        ({"expert_vision_depth": -1}, "expert_vision_depth must be at least 0"),
        ({"image_cache": True, "vision_depth": 0}, "expert_vision_depth changes the image"),
    ],
)
def test_settings_that_do_not_go_together(changes, match):
    with pytest.raises(UserError, match=match):
        replace(settings(1, 1), **changes)


def test_one_expert_has_no_router():
    """Tokens of each expert need several experts."""
    backbone = deep_backbone()
    config = replace(settings(1, 1), num_chosen=1, groups={"one": ("a photo of a {}.",)})
    with pytest.raises(UserError, match="only one expert"):
        build_model(config, backbone, config.groups, torch.Generator().manual_seed(1))
