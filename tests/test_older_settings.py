"""Settings of runs that version 0.1 saved mean today what they meant then."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace

import pytest

from mocoop.cli.main import parse
from mocoop.cli.train import TrainCommand
from mocoop.config import TrainConfig
from mocoop.presets import differences, identity, preset, settings_of_run
from mocoop.protocols.runner import run_name

CLIP = "ViT-B-16-quickgelu/openai"
FIRST = (
    "data", "method", "backbone", "shots", "seed", "classes", "style", "groups", "context_init",
    "context_words", "context_tokens", "name_position", "class_context", "conditional",
    "learn_after", "correction", "num_chosen", "text_weight", "text_scale", "text_classes",
    "text_target", "anchor_weight", "align_gradient", "gate_weight", "gate_target", "epochs",
    "batch_size", "learning_rate", "gate_rate", "momentum", "weight_decay", "schedule",
    "warmup_epochs", "warmup", "warmup_rate", "clip_norm", "precision", "image_cache", "views",
    "augment", "tune_layer_norms", "layer_norm_rate", "save_every", "device",
)  # fmt: skip
NEW = tuple(field.name for field in fields(TrainConfig) if field.name not in FIRST)


def as_saved(config):
    """Returns the settings as version 0.1 saved them."""
    values = {name: value for name, value in config.to_dict().items() if name not in NEW}
    return values | {"anchor_weight": values["anchor_weight"] / 2}


@pytest.mark.parametrize(
    "method", ["coop", "kgcoop", "prograd", "lasp", "lasp-v-ln", "mocoop", "tip-adapter"]
)
def test_runs_with_the_demo_are_what_they_were(method):
    """Today's recipes for the demo do what those of version 0.1 did."""
    config = preset(method)
    again = settings_of_run(as_saved(config))
    assert again == config
    assert differences(again) == {}


def test_lasp_on_a_real_clip_had_another_text_loss():
    config = settings_of_run(as_saved(preset("lasp", CLIP)))
    assert (config.text_softmax, config.text_templates, config.text_noise) == ("hard", "own", 0.0)
    assert (config.drop_last, config.warmup_groups) == (False, "scaled")
    assert {"text_softmax", "text_templates", "text_noise"} <= set(differences(config))


@pytest.mark.parametrize("method", ["linear-probe", "tip-adapter", "tip-adapter-f"])
def test_searches_on_a_real_clip_were_our_own(method):
    config = settings_of_run(as_saved(preset(method, CLIP)))
    assert (config.search, config.key_views) == ("own", 0)
    assert "search" in differences(config)


def test_the_weight_of_the_squared_distance_is_doubled_once():
    values = as_saved(preset("kgcoop"))
    assert values["anchor_weight"] == 0.5
    config = settings_of_run(values)
    assert config.anchor_weight == 1.0
    assert settings_of_run(config.to_dict()) == config


def test_every_later_setting_says_what_the_first_version_did():
    """Else no finished run of a protocol would be found again under its name."""
    assert set(identity(TrainConfig(data="games"))) <= set(FIRST)


def test_finished_runs_of_protocols_are_found_again():
    """The name of a run is a hash of its settings, without those that version 0.1 lacked."""
    config = replace(preset("mocoop"), data="games")
    old = {name: value for name, value in config.to_dict().items() if name not in NEW}
    key = hashlib.sha256(json.dumps(old, sort_keys=True).encode()).hexdigest()[:10]
    assert run_name(config) == f"games-mocoop-16shot-seed1-{key}"
    assert run_name(replace(config, text_noise=0.05)) != run_name(config)
    assert identity(config) == identity(replace(config, device="cuda"))


def test_a_runs_settings_file_is_read_in_the_same_way(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"config": as_saved(preset("kgcoop"))}))
    command = parse("train", TrainCommand, ["--config", str(file)])
    assert command.settings == preset("kgcoop")
