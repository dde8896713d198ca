"""A run whose tensors do not fit its settings is neither imported nor opened."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch

from mocoop.assets import asset
from mocoop.classifiers.prompts import learned_state
from mocoop.classifiers.saved import open_classifier
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.model.build import build_model
from mocoop.presets import preset
from mocoop.runs.export_zip import archive_bytes
from mocoop.runs.import_zip import read_archive
from mocoop.runs.run import Run
from mocoop.runs.weights import check_weights
from mocoop.storage.atomic import read_tensors, write_tensors
from mocoop.training.length_search import SearchResult
from tests.runs.test_zips import entries, resigned, zipped

NAN = float("nan")
HARMS = {
    "router of another size": ("gate.weight", lambda v: v[:, :5], "has shape"),
    "router for fewer experts": ("gate.bias", lambda v: v[:-1], r"gate\.bias has shape"),
    "router without numbers": ("gate.weight", lambda v: v * NAN, "not finite"),
    "half precision": ("gate.weight", lambda v: v.half(), "type float16; expected float32"),
    "far too large": ("correction", lambda v: v + 1e30, "above 1e"),
    "prompt of another width": ("prompts.before.1", lambda v: v[:, :7], "shape"),
    "missing": ("prompts.before.0", None, r"prompts\.before\.0 is missing"),
    "unknown": ("prompts.before.99", lambda _: torch.ones(4, 128), "does not belong to mocoop"),
}
FEATURES = {
    "hard": ("hard/0", lambda v: v[:, :3], "hard/0 has shape"),
    "router of an epoch": ("gate/0/bias", lambda v: v * NAN, "not finite"),
    "odd name": ("soft/x", lambda _: torch.ones(2), "unknown name"),
    "prototypes": ("prototypes", lambda v: v[:1], "prototypes has shape"),
}


@pytest.fixture
def run(tmp_path):
    """A finished mixture."""
    shutil.copytree(asset("runs") / "albums-mocoop-16shot", tmp_path / "odd")
    return Run(tmp_path / "odd")


@pytest.mark.parametrize(
    ("file", "harms"),
    [("weights.safetensors", HARMS), ("features.safetensors", FEATURES)],
    ids=["weights", "features"],
)
def test_tensors_that_do_not_fit_are_refused(run, tmp_path, file, harms):
    whole, sound = archive_bytes(run), read_tensors(run.path / file)
    for name, change, words in harms.values():
        changed = dict(sound)
        if change is None:
            del changed[name]
        else:
            changed[name] = change(sound.get(name))
        write_tensors(run.path / file, changed)
        with pytest.raises(UserError, match=words):
            open_classifier(run)
        packed = entries(whole)
        packed = {f"details-tiny/{key.partition('/')[2]}": data for key, data in packed.items()}
        source = zipped(resigned(packed, file, (run.path / file).read_bytes()))
        with pytest.raises(UserError, match=words):
            read_archive(source, tmp_path / "runs")
        assert not (tmp_path / "runs").exists() or list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('{"logit_scale": Infinity}', "cannot be read"),
        ('{"logit_scale": 1e300}', "at .logit_scale"),
        ('{"logit_scale": %s}' % ("9" * 400), "at .logit_scale"),
        ('{"trained_classes": %s}' % ("9" * 400), "at .trained_classes"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"config": {"data": "a\\u0000b"}}', "without NUL"),
        ('{"config": {"data": "%s"}}' % ("x" * 5000), "at most 4,096 characters"),
    ],
)
def test_odd_json_is_refused_in_words(run, tmp_path, config, words):
    packed = entries(archive_bytes(run))
    packed = {f"details-tiny/{key.partition('/')[2]}": data for key, data in packed.items()}
    if config.endswith("}"):
        before = json.loads(packed["details-tiny/config.json"])
        key = config.split('"')[1]
        if key == "config":
            inner = json.loads(config)["config"]
            content = json.dumps(before | {"config": before["config"] | inner})
        else:
            before.pop(key)
            content = json.dumps(before)[:-1] + "," + config[1:]
    else:
        content = config
    with pytest.raises(UserError, match=words):
        read_archive(zipped(resigned(packed, "config.json", content.encode())), tmp_path / "runs")


def test_a_list_of_brackets_is_refused(run, tmp_path):
    packed = entries(archive_bytes(run))
    for content in (b"[" * 100_000, b'{"format": 1, "run_format": 1, "name": NaN}'):
        changed = {
            name: content if name.endswith("archive.json") else data
            for name, data in packed.items()
        }
        with pytest.raises(UserError, match=r"archive\.json cannot be read"):
            read_archive(zipped(changed), tmp_path / "runs")


def test_the_weights_of_every_method_fit(run, demo_backbone):
    """What a model of each method would save is accepted for its own settings."""
    setup = run.setup()
    presets = [preset(name) for name, method in METHODS.items() if method.learns_prompts]
    late = replace(preset("mocoop-v"), expert_vision_depth=1)
    for own in (*presets, late, replace(late, vision_insertion="keys", vision_lengths=(2, 0, 1))):
        config = replace(own, num_chosen=1, classes="all")
        groups = dict(list(setup.groups.items())[: 2 if METHODS[own.method].is_mixture else 1])
        build = lambda of, groups=groups: build_model(
            of, demo_backbone, groups, torch.Generator().manual_seed(0), setup.trained_classes
        )
        model = build(config)
        if config.searches_lengths:  # a finished run has the tokens that were chosen
            model = build(SearchResult.from_model(model).settings(config))
        saved = replace(setup, config=config, groups=groups)
        check_weights(saved, learned_state(model))
