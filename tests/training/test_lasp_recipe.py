"""LASP's recipe as in its released code: its templates, its noise, its text loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mocoop.model.hard_prompts import HardText, expert_groups, group_prototypes, hard_features
from mocoop.model.losses import text_supervision_loss
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.templates import load_templates
from mocoop.training.step_losses import step_losses
from tests.support import method_cases as cases

CLIP = "ViT-B-16-quickgelu/openai"
LASPS = ("lasp", "lasp-v", "lasp-ln", "lasp-v-ln")


@pytest.mark.parametrize("method", LASPS)
def test_its_settings(method):
    """configs/LASP/vit_b16_c4_ep25_batch32_cls_t2t_5_wcl_25_g1_b_lr32.yaml of its code."""
    config = preset(method, CLIP)
    start = config.context_init, config.context_words, config.name_position
    assert start == ("words", "a photo of a", "end")
    assert (config.text_weight, config.text_scale, config.text_noise) == (5.0, "logit", 0.05)
    assert (config.text_softmax, config.text_templates) == ("soft", "fixed")
    assert (config.epochs, config.batch_size, config.learning_rate) == (25, 32, 0.032)
    assert (config.warmup_epochs, config.warmup, config.warmup_rate) == (3, "constant", 1e-5)
    assert (config.clip_norm, config.correction, config.layer_norm_rate) == (1.0, True, 0.1)
    assert config.text_classes == ("all" if "-v" in method else "seen")


@pytest.mark.parametrize("data", ["dtd", "scenes", "imagenet"])
def test_its_templates_are_the_same_on_every_set(data):
    (used,) = expert_groups(preset("lasp", CLIP), load_templates(data)).values()
    assert len(used) == 35
    assert used[0] == "a photo of a {}, a type of flower."
    assert used[4:7] == ("{} texture.", "itap of a {}.", "a bad photo of the {}.")
    assert used[-1] == "a good photo of a {}."
    assert len(set(used)) == 34
    assert used.count("a bad photo of the {}.") == 2


def test_the_demo_compares_with_the_sets_own_templates():
    (used,) = expert_groups(preset("lasp"), load_templates("scenes")).values()
    assert used[:2] == ("a photo of a {}.", "a photo of a large {}.")
    assert len(used) == 33


def losses_of(config, backbone, generator=None):
    """Returns the losses of a batch, and the hard prompts that they compare with."""
    pair = cases.make_pair(config, backbone)
    pictures, labels = cases.batch_of(1)
    features = pair.model.image_features(backbone.model.visual, pictures)
    classes = ClassTokens.from_names(backbone.text.tokens, pair.data.class_names)
    found, _ = step_losses(
        pair.model, backbone.text, classes, features, labels, pair.data, config, generator
    )
    soft = pair.model.text_features(backbone.text, classes)
    return found, soft, pair


def test_its_text_loss_by_hand(tiny_backbone):
    """For each hard prompt the softmax runs over the soft ones, times the logit scale."""
    config = cases.settings("lasp", text_softmax="soft")
    found, soft, pair = losses_of(config, tiny_backbone)
    scale = pair.model.logit_scale
    terms = [
        torch.nn.functional.cross_entropy(scale * soft[0] @ target[label], torch.tensor(label))
        for target in pair.data.hard.targets
        for label in range(cases.NUM_SEEN)
    ]
    torch.testing.assert_close(found["text"], torch.stack(terms).mean())
    other, *_ = losses_of(replace(config, text_softmax="hard"), tiny_backbone)
    assert (other["text"] - found["text"]).abs() > 1e-4


def test_noise_comes_from_the_runs_generator(tiny_backbone):
    config = cases.settings("lasp", text_noise=0.05)
    seeds = range(8)
    texts = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        found, soft, pair = losses_of(config, tiny_backbone, generator)
        hard = pair.data.hard.targets
        drawn = torch.Generator().manual_seed(seed)
        noisy = torch.rand(1, generator=drawn).item() < 0.5
        noise = 0.05 * torch.randn(hard.shape, generator=drawn) if noisy else 0.0
        expected = text_supervision_loss(
            soft, hard + noise, pair.model.logit_scale, pair.data.hard.owner
        )
        torch.testing.assert_close(found["text"], expected)
        texts.append((noisy, found["text"].item()))
    assert len({text for noisy, text in texts if not noisy}) == 1
    assert len({text for noisy, text in texts if noisy}) == sum(noisy for noisy, _ in texts) > 1


def test_noise_needs_a_generator(tiny_backbone):
    with pytest.raises(AssertionError, match="needs a generator"):
        losses_of(cases.settings("lasp", text_noise=0.05), tiny_backbone)


def test_a_template_that_is_there_twice_counts_twice(tiny_backbone):
    groups = {"prompt": ("a photo of a {}.", "art of the {}", "art of the {}")}
    hard = hard_features(tiny_backbone.text, groups, cases.NAMES)
    text = HardText.from_features(tuple(hard), group_prototypes(hard), every_template=True)
    assert len(text.targets) == 3
    assert torch.equal(text.targets[1], text.targets[2])
