"""No training starts with nothing to learn: every preset on every set's templates."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import yaml

from mocoop.assets import asset
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import expert_groups
from mocoop.model.learnable import check_learnable, check_learns, learned_numbers
from mocoop.presets import preset
from mocoop.templates import as_groups, load_templates
from mocoop.training.experiment import run_experiment
from tests.support.deep_clip import deep_backbone
from tests.support.tiny_data import picture_folder, tiny_checkpoint

SETS = list(yaml.safe_load(asset("templates.yaml").read_text(encoding="utf-8")))
# Tokens in the image tower are counted in tests/parity/test_towers.py and test_promptsrc.py.
PROMPTS = [
    key
    for key, method in METHODS.items()
    if method.learns_prompts and preset(key).vision_depth + preset(key).lora_rank == 0
]
OTHER = "ViT-B-16-quickgelu/openai"
SINGLE = [key for key in PROMPTS if not METHODS[key].is_mixture]
WIDTH, DIM = 32, 16  # of the tiny CLIP


def learnable(config, backbone, groups, generator):
    """Returns how many numbers a training of these settings learns in the tiny CLIP."""
    config = replace(config, precision="fp32", num_chosen=min(config.num_chosen, len(groups)))
    model = build_model(config, backbone, groups, generator)
    return sum(value.numel() for value in model.parameters() if value.requires_grad)


def test_all_benchmark_sets_have_templates():
    """The four shifted ImageNets share ImageNet's."""
    assert len(SETS) == 14  # LASP's fixed templates among them
    assert {"dtd", "imagenet", "ucf101", "scenes", "photos"} <= set(SETS)


@pytest.mark.parametrize("method", PROMPTS)
@pytest.mark.parametrize("data", SETS)
def test_published_recipes_learn_on_every_set(tiny_backbone, generator, method, data):
    """Single prompts learn the four tokens of "a photo of a", whatever the set's template is."""
    config = preset(method, OTHER)
    groups = expert_groups(config, load_templates(data))
    check_learnable(config, groups)
    count = learnable(config, tiny_backbone, groups, generator)
    assert count > 0
    if METHODS[method].is_mixture:
        return
    assert config.context_init == "words"
    more = {"cocoop": 1 * DIM + 1 + (1 + 1) * WIDTH}.get(method, 0)  # the meta-net
    if config.correction:
        more += DIM
    if config.tune_layer_norms:
        more += 4 * WIDTH
    assert count == 4 * WIDTH + more


@pytest.mark.parametrize("method", PROMPTS)
@pytest.mark.parametrize("data", SETS)
def test_demo_recipes_learn_or_are_refused(tiny_backbone, generator, method, data):
    """They start from the set's own template, which on DTD has no word before the name."""
    config = preset(method)
    groups = expert_groups(config, load_templates(data))
    count = learnable(config, tiny_backbone, groups, generator)
    if data == "dtd" and method in ("coop", "cocoop", "kgcoop", "prograd"):
        with pytest.raises(UserError, match="There is nothing to learn"):
            check_learnable(config, groups)
        check_learnable(replace(config, context_init="words"), groups)
        return
    check_learnable(config, groups)
    assert count >= (4 * WIDTH if data != "dtd" and data != "food101" else DIM)


@pytest.mark.parametrize(
    ("template", "changes", "message"),
    [
        ("{} texture.", {},
         r"starts from '\{\} texture\.', which has no word before the class name and the words "
         r"after it are not learned\. .*context_init words.*turn learn_after or correction on"),
        ("{}", {"learn_after": True}, r"starts from '\{\}', which has no word before the class"),
        ("a photo of a {}.", {"context_init": "words", "context_words": " "},
         r"There is nothing to learn: the prompt starts from '  \{\}\.'"),
    ],
)  # fmt: skip
def test_nothing_to_learn_is_refused(template, changes, message):
    config = replace(preset("coop"), **changes)
    with pytest.raises(UserError, match=message):
        check_learnable(config, as_groups({"prompt": [template]}))


@pytest.mark.parametrize(
    "changes",
    [
        {"learn_after": True},
        {"correction": True},
        {"tune_layer_norms": True, "image_cache": False},
        {"context_init": "words"},
        {"context_init": "random"},
        {"epochs": 0},
    ],
    ids=str,
)
def test_what_learns_something_starts(changes):
    check_learnable(replace(preset("coop"), **changes), as_groups({"prompt": ["{} texture."]}))


def test_a_mixture_learns_its_router():
    groups = as_groups({"a": ["{} texture."], "b": ["{}"]})
    check_learnable(replace(preset("mocoop"), learn_after=False, correction=False), groups)


def test_a_refused_training_writes_nothing(tmp_path):
    config = replace(
        preset("coop"),
        data=picture_folder(tmp_path / "pictures"),
        backbone=tiny_checkpoint(tmp_path / "clip"),
        groups={"prompt": ("{} texture.",)},
        shots=2,
    )
    with pytest.raises(UserError, match="There is nothing to learn"):
        list(run_experiment(config, tmp_path / "run", tmp_path / "cache"))
    assert not (tmp_path / "run").exists()


FROZEN = {"learn_context": False}
BARE, PHOTO = as_groups({"prompt": ["{}."]}), as_groups({"prompt": ["a photo of a {}."]})
KEYS = {"text_insertion": "keys", "text_depth": 2}
WITH_VISION = {"image_cache": False, "vision_depth": 1}


@pytest.mark.parametrize(
    ("method", "groups", "changes", "learns"),
    [
        ("coop", PHOTO, FROZEN, False),
        ("coop", BARE, FROZEN, False),
        ("kgcoop", PHOTO, FROZEN, False),
        ("coop", PHOTO, FROZEN | KEYS, True),
        ("coop", BARE, KEYS, True),
        ("coop", PHOTO, FROZEN | KEYS | {"text_lengths": (0, 0)}, False),
        ("coop", PHOTO, FROZEN | {"text_depth": 2}, True),
        ("coop", PHOTO, FROZEN | {"correction": True}, True),
        ("coop", as_groups({"prompt": ["{} texture."]}), FROZEN | {"learn_after": True}, False),
        ("cocoop", PHOTO, FROZEN, True),  # the meta-net shifts frozen tokens
        ("cocoop", BARE, {}, False),
        ("coop", PHOTO, FROZEN | WITH_VISION, True),
        ("maple", BARE, WITH_VISION | {"learned_tokens": 0, "text_depth": 1}, False),
        ("coop", PHOTO, FROZEN | {"epochs": 0}, True),
        ("mocoop", {**PHOTO, "other": ("{}.",)}, FROZEN | {"correction": False}, True),
    ],
    ids=str,
)
def test_every_part_that_learns_counts(method, groups, changes, learns):
    """The check without a CLIP never refuses what the model's own numbers allow."""
    config = replace(preset(method), **({"num_chosen": 1} | changes))
    model = build_model(config, deep_backbone(), groups, torch.Generator().manual_seed(1), 1)
    if learns:
        check_learns(model, config, groups)
        check_learnable(config, groups)
        return
    assert learned_numbers(model) == 0
    with pytest.raises(
        UserError, match=r"There is nothing to learn: (learn_context is off|the pr)"
    ):
        check_learns(model, config, groups)
