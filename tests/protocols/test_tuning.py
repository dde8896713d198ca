"""Recipes are compared on validation images alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mocoop.cli.main import main
from mocoop.datasets.builtin import SceneDataset
from mocoop.errors import UserError
from mocoop.presets import preset
from mocoop.protocols import tuning
from mocoop.protocols.tuning import tune, validation_accuracy
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment
from tests.support.benchmark_files import add_imagenet
from tests.support.tiny_data import picture_folder, tiny_checkpoint


def test_test_images_are_never_asked_for(workspace, monkeypatch):
    asked = set()
    original = SceneDataset.items

    def items(self, split, labels=None):
        asked.add(split)
        return original(self, split, labels)

    monkeypatch.setattr(SceneDataset, "items", items)
    config = replace(preset("mocoop"), data="digits", shots=1, epochs=1)
    assert 0 < validation_accuracy(config) < 100
    assert asked == {"train", "val"}


def test_validation_images_that_are_test_images_are_refused(tmp_path, monkeypatch, workspace):
    """A recipe chosen on ImageNet's validation images would be chosen on its test images."""
    monkeypatch.setenv("MOCOOP_DATA", str(tmp_path))
    add_imagenet(tmp_path)
    config = replace(preset("coop"), data="imagenet", shots=1, epochs=1)
    with pytest.raises(UserError, match="validation images of imagenet are its test images"):
        validation_accuracy(config)


def test_untrained_accuracy_is_that_of_the_plain_prompt(workspace, demo_backbone):
    from mocoop.datasets import load_dataset
    from mocoop.features.cache import FeatureCache

    data = load_dataset("digits")
    items = data.items("val")
    features = FeatureCache(demo_backbone).features(data, items)[:, 0]
    text = demo_backbone.text.encode_template(data.templates.zero_shot, data.class_names)
    hits = [int((f @ text.T).argmax()) == i.label for f, i in zip(features, items, strict=True)]
    config = replace(preset("zero-shot"), data="digits", shots=1)
    assert validation_accuracy(config) == pytest.approx(100 * sum(hits) / len(hits))


@pytest.mark.long
def test_tuned_layer_norms_are_used(workspace, tmp_path):
    """The same training as a run's: its last weights, seen by its own image tower."""
    config = replace(preset("mocoop-ln"), data="digits", shots=1, epochs=2, learning_rate=1.0)
    config = replace(config, layer_norm_rate=1.0)
    found = validation_accuracy(config)
    assert found != validation_accuracy(replace(config, tune_layer_norms=False))
    for _ in run_experiment(config, tmp_path / "run"):
        pass
    assert Run(tmp_path / "run").weights().keys() > {"gate.weight"}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (["shots=1,2"], "The grid cannot vary shots"),
        (["seed=1,2"], "The grid cannot vary seed"),
        (["data=digits,faces"], "The grid cannot vary data"),
        (["method=coop,lasp"], "The grid cannot vary method"),
        (["groups=x"], "The grid cannot vary groups"),
        (["classes=all,base"], "classes changes which classes or images count"),
        (["style=photo"], "style changes which"),
        (["validation=few,all"], "validation changes which"),
        (["learning_rate=0.1", "learning_rate=0.2"], "The grid has learning_rate twice"),
        (["learning_rate=0.1,0.10"], "learning_rate has 0.1 twice"),
    ],
)
def test_what_cannot_be_compared_is_refused(grid, message, capsys):
    assert main(["tune", "coop", "--grid", *grid, "--data", "digits"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["data", "shots", "seeds"])
def test_places_are_given_once(name):
    values = {"data": ("digits",), "shots": (1,), "seeds": (1,)}
    values[name] *= 2
    with pytest.raises(UserError, match=f"{name} has .* twice"):
        next(tune("coop", {"learning_rate": ["0.1"]}, **values))


@pytest.mark.long
def test_every_combination_is_tried_and_the_best_named(capsys, workspace):
    line = ["tune", "coop", "--grid", "learning_rate=0.1,1.0", "epochs=1,2"]
    line += ["--data", "digits", "--shots", "1"]
    assert main([*line, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [c["changes"] for c in found] == [
        {"learning_rate": rate, "epochs": epochs} for rate in (0.1, 1.0) for epochs in (1, 2)
    ]
    assert list(found[0]["accuracies"]) == ["digits, 1, 1"]
    assert main(line) == 0
    best = max(found, key=lambda c: c["mean"])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("best on validation images: learning_rate ")
    assert f"({best['mean']:.2f} %)" in last


@pytest.mark.parametrize(
    ("method", "grid", "message"),
    [
        ("coop", {"learning_rat": ["1"]}, "Did you mean 'learning_rate'"),
        ("coop", {"epochs": ["many"]}, "epochs takes int values; got 'many'"),
        ("coop", {"correction": ["perhaps"]}, "correction takes bool values"),
        ("tip-adapter", {"epochs": ["1"]}, "chooses its few settings by itself"),
        ("coop", {"momentum": ["-1"]}, "momentum must be at least 0"),
    ],
)
def test_what_does_not_fit_is_told(method, grid, message):
    with pytest.raises(UserError, match=message):
        list(tune(method, grid, ("digits",), (1,), (1,)))


class Noted:
    """An engine that runs nothing and keeps the settings it was given."""

    def map(self, work, jobs, words, folders=()):
        self.configs = [config for (config,) in jobs]
        return iter(())


def test_recipes_start_from_those_of_each_data_set():
    engine, sets = Noted(), ("oxford_flowers", "oxford_pets")
    tries = tune(
        "taskres", {"weight_decay": ["0", "1"]}, sets, (4,), (1,), "RN50/openai", None, engine
    )
    assert not list(tries)
    own = [preset("taskres", "RN50/openai", name).residual_ratio for name in sets]
    assert own[0] != own[1]
    assert [config.residual_ratio for config in engine.configs] == own * 2
    assert [config.data for config in engine.configs] == list(sets) * 2


def test_a_grid_without_values_is_told(capsys):
    assert main(["tune", "coop", "--grid", "learning_rate"]) == 2
    assert "Expected a grid such as learning_rate=0.1,0.2" in capsys.readouterr().err


def test_chosen_experts_are_those_that_are_measured(workspace, tmp_path, monkeypatch):
    """With num_experts auto a recipe is measured with the experts that a run would choose."""
    two = {"photo": ("a photo of a {}.",), "sketch": ("a blurry sketch of some {}.",)}
    asked = []

    def choose(prepared, cache):
        asked.append(prepared.config.num_experts)
        return replace(prepared, config=replace(prepared.config, groups=two), groups=two), ()

    monkeypatch.setattr(tuning, "choose_experts", choose)
    places = {"data": picture_folder(tmp_path / "pictures"), "shots": 1, "epochs": 1}
    clip = tiny_checkpoint(tmp_path / "clip")
    start = replace(preset("mocoop"), **places, backbone=clip, num_chosen=1)
    start = replace(start, groups={"all": ("a {} here.",), "dark": ("a dark {}.",)})
    trained = []
    original = tuning.build_model
    monkeypatch.setattr(
        tuning, "build_model", lambda *args: trained.append(args[2]) or original(*args)
    )
    auto = validation_accuracy(replace(start, num_experts="auto"))
    assert asked == ["auto"]
    assert auto == validation_accuracy(replace(start, groups=two))
    assert asked == ["auto"]
    assert list(map(list, trained)) == [["photo", "sketch"]] * 2
