"""Odd class names and templates: the right tokens, or a message in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mocoop.datasets.base import check_class_names
from mocoop.errors import UserError
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import expert_groups, hard_features
from mocoop.model.learnable import check_learnable
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.templates import as_groups, load_templates
from tests.support import method_cases as cases

BARE = {"bare": ["{}", "a photo of a {}."], "photo": ["a photo of a {}.", "itap of a {}."]}


def untrained(config, backbone, names):
    """Returns the text features of an untrained model, and those of its first templates."""
    groups = config.groups
    model = build_model(config, backbone, groups, torch.Generator().manual_seed(1))
    classes = ClassTokens.from_names(backbone.text.tokens, names)
    with torch.no_grad():
        soft = model.text_features(backbone.text, classes)
    first = torch.stack([part[0] for part in hard_features(backbone.text, groups, names)])
    return soft, first


def test_a_group_whose_first_template_is_the_bare_name(tiny_backbone):
    """Its expert has no token to learn and starts at the name; the mixture still trains."""
    groups = as_groups(BARE)
    config = replace(cases.settings("mocoop"), groups=groups)
    check_learnable(config, groups)
    soft, first = untrained(config, tiny_backbone, cases.NAMES)
    torch.testing.assert_close(soft, first)
    pair = cases.make_pair(config, tiny_backbone)
    assert [len(block) for block in pair.model.prompts.before] == [0, 4]
    losses = pair.losses(*cases.batch_of(1))
    expected = pair.plain_losses(*cases.batch_of(1))
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name], rtol=1e-5, atol=1e-5)
    pair.stepper.set_rate(0.1)
    pair.stepper.step(losses, 1, 1)
    assert all(torch.isfinite(value).all() for value in pair.model.parameters())


@pytest.mark.parametrize("template", ["a photo of a {}!", "the ({}).", "a {}...", "is it a {}?!"])
def test_templates_that_end_in_punctuation_after_the_name(tiny_backbone, template):
    groups = as_groups({"one": [template], "two": ["a photo of a {}."]})
    names = ("cat", "crane (bird)", "St. Bernard", "old house.")
    for learn_after in (False, True):
        config = replace(cases.settings("mocoop"), groups=groups, learn_after=learn_after)
        soft, first = untrained(config, tiny_backbone, names)
        if learn_after:  # a learned token behind the name is never read together with it
            soft, first = soft[:, 0], first[:, 0]
        torch.testing.assert_close(soft, first)


def test_names_that_differ_by_punctuation_alone_are_two_classes(tiny_backbone):
    names = ("t-shirt", "t shirt", "crane (bird)", "crane bird", "St Bernard", "St. Bernard")
    check_class_names(names)
    (hard,) = hard_features(tiny_backbone.text, {"one": ("a photo of a {}.",)}, names)
    same = torch.cdist(hard[0], hard[0]) < 1e-4
    assert torch.equal(same, torch.eye(len(names), dtype=torch.bool))


@pytest.mark.parametrize(
    "names",
    [("Crane", "crane"), ("polar bear", "polar_bear"), ("polar bear", "polar  bear"),
     ("cat", "dog", "CAT")],
)  # fmt: skip
def test_names_that_are_one_sentence_in_every_prompt_are_refused(names):
    """CLIP's tokenizer ignores case, and prompts ignore underscores: nothing could tell these."""
    with pytest.raises(
        UserError, match=r"Two classes have the same name .* could not tell them apart"
    ):
        check_class_names(names)


@pytest.mark.parametrize("words", ["", "   "])
def test_a_recipe_without_a_word_to_learn(words):
    config = replace(preset("coop"), context_init="words", context_words=words)
    groups = expert_groups(config, load_templates("dtd"))
    with pytest.raises(UserError, match="There is nothing to learn"):
        check_learnable(config, groups)
