"""PromptSRC's losses: values by hand, derivatives, and which features a step compares."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.model.losses import (
    PUBLISHED_DIM,
    feature_consistency_loss,
    logit_consistency_loss,
)
from mocoop.presets import few_shot_preset, preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.step_losses import step_losses
from tests.support.method_cases import NAMES, NUM_SEEN, batch_of, product, settings

OTHER = "ViT-B-16-quickgelu/openai"
SRC = {"vision_depth": 1, "vision_prompts": 2}


def test_features_by_hand():
    """Two rows of two numbers; one has not moved, the other by a quarter turn."""
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    frozen = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    found = feature_consistency_loss(features, frozen)
    assert found.item() == pytest.approx((0 + 2) / 2 / PUBLISHED_DIM)


def test_features_of_512_dimensions_have_the_published_mean():
    features, frozen = torch.randn(3, 4, 512), torch.randn(4, 512)
    found = feature_consistency_loss(features, frozen)
    torch.testing.assert_close(found, F.l1_loss(features, frozen.expand(3, 4, 512)))


def test_weight_over_dimensions_is_constant():
    """Of 768 dimensions the mean has a weight of 768 / 512: 25 becomes 37.5."""
    features, frozen = torch.randn(4, 768), torch.randn(4, 768)
    found = 25.0 * feature_consistency_loss(features, frozen)
    torch.testing.assert_close(found, 37.5 * F.l1_loss(features, frozen))


def test_logits_by_hand():
    """Probabilities 1/4 and 3/4 where the frozen CLIP has two halves; by images and classes."""
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, 5.0]])
    frozen = torch.tensor([[2.0, 2.0], [-1.0, -1.0]])  # the second image agrees
    divergence = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert logit_consistency_loss(logits, frozen).item() == pytest.approx(divergence / 4)


@pytest.mark.parametrize("loss", [feature_consistency_loss, logit_consistency_loss])
def test_derivatives_are_those_of_finite_differences(loss):
    """And the frozen side gets none."""
    learned, frozen = torch.randn(2, 4, 3, dtype=torch.float64).requires_grad_().unbind()
    assert torch.autograd.gradcheck(
        lambda x: 1000 * loss(x, frozen.detach()), learned.detach().requires_grad_()
    )
    other = frozen.detach().requires_grad_()
    assert torch.autograd.grad(loss(learned, other), other, allow_unused=True) == (None,)


def losses_of(backbone, config, number=1):
    """Returns the losses of one step, with their weights, and the model."""
    model, data = product(config, backbone, NAMES[:NUM_SEEN], NUM_SEEN)
    frozen = F.normalize(torch.randn(NUM_SEEN, backbone.text.dim), dim=-1)
    data = replace(data, hard=replace(data.hard, frozen=frozen))
    pictures, labels = batch_of(number)
    features = model.training_features(backbone.model.visual, pictures)
    classes = ClassTokens.from_names(backbone.text.tokens, data.class_names)
    return step_losses(model, backbone.text, classes, features, labels, data, config)[0]


@pytest.mark.parametrize("router_input", ["tuned", "frozen"])
def test_the_other_losses_do_not_change(tiny_backbone, router_input):
    """Frozen features behind the tuned ones are for these losses, or for the router, alone."""
    both = SRC | {"router_input": router_input}
    plain = losses_of(tiny_backbone, settings("mocoop-v", **both))
    found = losses_of(tiny_backbone, settings("mocoop-src", **both))
    assert {"image_consistency", "logit_consistency"} == set(found) - set(plain)
    for name in ("classification", "text", "gate"):
        assert torch.equal(found[name], plain[name]), name
    added = 10.0 * found["image_consistency"] + found["logit_consistency"]
    torch.testing.assert_close(found["total"], plain["total"] + added)


def test_the_router_sees_what_the_setting_says(tiny_backbone):
    gates = {
        which: losses_of(tiny_backbone, settings("mocoop-v", **SRC | {"router_input": which}))
        for which in ("tuned", "frozen")
    }
    assert not torch.equal(gates["tuned"]["gate"], gates["frozen"]["gate"])


@pytest.mark.parametrize("method", ["coop", "cocoop", "lasp", "mocoop", "mocoop-ln"])
def test_any_method_can_stay_close(tiny_backbone, method):
    """Text and predictions also without anything learned in the image tower."""
    config = settings(method, text_consistency=25.0, logit_consistency=1.0)
    plain = losses_of(tiny_backbone, settings(method))
    found = losses_of(tiny_backbone, config)
    assert {"text_consistency", "logit_consistency"} == set(found) - set(plain)
    assert torch.equal(found["classification"], plain["classification"])
    assert found["logit_consistency"] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_consistency": 1.0}, r"nothing is learned in the image tower.*vision_depth"),
        ({"text_consistency": -1.0}, r"text_consistency must be at least 0; got -1\.0"),
        ({"logit_consistency": float("nan")}, r"logit_consistency must be at least 0; got nan"),
        (
            {"consistency_templates": "all"},
            r"Unknown consistency_templates 'all': .* own, imagenet",
        ),
        (
            {"consistency_mean": "sum"},
            r"Unknown consistency_mean 'sum': expected one of raw, unit",
        ),
        ({"aggregation": "mean"}, r"Unknown aggregation 'mean': expected one of none, gaussian"),
        ({"aggregation_std": 0.0}, r"aggregation_std must be greater than 0; got 0\.0"),
        ({"aggregation_mean": -1.0}, r"aggregation_mean must be at least 0; got -1\.0"),
        (
            {"method": "tip-adapter-f", "aggregation": "gaussian"},
            r"tip-adapter-f learns none\. Use aggregation none, or a method such as coop",
        ),
    ],
)
def test_settings_that_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        TrainConfig(**changes)


def test_few_shot_recipes_of_data_sets():
    """50 epochs; wide weights on six sets, narrow ones on the others."""
    for data, expected in (("imagenet", (30.0, 30.0)), ("eurosat", (45.0, 5.0))):
        config = few_shot_preset("promptsrc", OTHER, data, 16)
        assert (config.aggregation_mean, config.aggregation_std) == expected
        assert config.epochs == 50
    assert preset("promptsrc", OTHER).epochs == 20
