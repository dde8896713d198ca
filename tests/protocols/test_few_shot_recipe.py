"""CoOp's recipe for the few-shot protocol on real CLIPs, and how such runs are labelled."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mocoop.methods import METHODS
from mocoop.presets import (
    differences,
    few_shot_preset,
    follows_few_shot_recipe,
    preset,
    settings_from,
)
from mocoop.protocols import plans
from mocoop.protocols.plans import Plan, tasks
from mocoop.shots import ALL_SHOTS

CLIP = "ViT-B-16-quickgelu/openai"


@pytest.mark.parametrize(
    ("shots", "epochs"),
    [(1, 50), (2, 100), (3, 100), (4, 100), (5, 200), (8, 200), (16, 200), (32, 200),
     (ALL_SHOTS, 200)],
)  # fmt: skip
def test_epochs_by_shots(shots, epochs):
    assert few_shot_preset("coop", CLIP, "caltech101", shots).epochs == epochs
    assert few_shot_preset("coop", CLIP, "imagenet", shots).epochs == 50


@pytest.mark.parametrize(
    ("shots", "epochs"),
    [(1, 100), (2, 100), (4, 100), (8, 200), (16, 200), (32, 200), (ALL_SHOTS, 200)],
)
def test_taskres_trains_half_as_long_with_few_shots(shots, epochs):
    """All else, such as the rate on ImageNet, is that of its usual recipe."""
    for data, rate, ratio in (
        ("caltech101", 2e-3, 0.5),
        ("imagenet", 2e-4, 0.5),
        ("oxford_flowers", 2e-3, 1.0),
    ):
        usual = replace(preset("taskres", CLIP, data), shots=shots)
        config = few_shot_preset("taskres", CLIP, data, shots)
        assert config == replace(usual, epochs=epochs)
        assert (config.learning_rate, config.residual_ratio) == (rate, ratio)
        assert follows_few_shot_recipe(config) == (epochs < usual.epochs)


def test_sixteen_random_tokens_and_random_crops():
    config = few_shot_preset("coop", CLIP, "dtd", 16)
    shown = (config.context_init, config.context_tokens, config.name_position)
    assert shown == ("random", 16, "end")
    assert (config.image_cache, config.augment) == (False, "crops")
    shown = (config.learning_rate, config.batch_size, config.clip_norm, config.warmup_epochs)
    assert shown == (0.002, 32, 0.0, 1)
    assert not config.class_context


@pytest.mark.parametrize("method", METHODS)
def test_the_demo_and_all_other_methods_keep_their_presets(method):
    demo = replace(preset(method), data="details", shots=4)
    assert few_shot_preset(method, "demo", "details", 4) == demo
    if METHODS[method].few_shot is None:
        usual = replace(preset(method, CLIP), data="details", shots=4)
        assert few_shot_preset(method, CLIP, "details", 4) == usual


@pytest.fixture
def few_shot_tasks(monkeypatch):
    """The tasks of a protocol with CoOp on a real CLIP; nothing is loaded."""
    monkeypatch.setattr(plans, "check", lambda plan: None)
    return lambda name: tasks(Plan(name, ("details",), ("coop", "lasp"), (1, 16), (1,), CLIP))


def test_the_protocol_runs_and_names_it(few_shot_tasks):
    found = [(t.label, t.config.epochs, t.config.context_init) for t in few_shot_tasks("few-shot")]
    assert found == [
        ("coop, recipe few-shot", 50, "random"),
        ("coop, recipe few-shot", 200, "random"),
        ("lasp", 25, "words"),
        ("lasp", 25, "words"),
    ]


def test_other_protocols_run_the_usual_recipe(few_shot_tasks):
    found = [(t.label, t.config.epochs) for t in few_shot_tasks("base-to-new")]
    assert found == [("coop", 50), ("coop", 50), ("lasp", 25), ("lasp", 25)]


def test_a_saved_run_is_known_by_its_recipe():
    config = replace(few_shot_preset("coop", CLIP, "dtd", 1), precision="bf16", seed=3)
    again = settings_from(json.loads(json.dumps(config.to_dict())))
    assert follows_few_shot_recipe(again)
    assert differences(again) == {"recipe": "few-shot"}
    longer = replace(again, epochs=60)
    assert not follows_few_shot_recipe(longer)
    assert differences(longer) == {
        "context_init": "random", "epochs": 60, "image_cache": False, "augment": "crops",
    }  # fmt: skip
    assert differences(preset("coop", CLIP)) == {}
