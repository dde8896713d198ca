"""What a training costs: counted and timed on the runs with a method's own settings alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch

from mocoop.bench.step_memory import step_memory
from mocoop.classifiers.prompts import learned_state
from mocoop.model.build import build_model
from mocoop.model.learnable import learned_numbers as of_model
from mocoop.presets import preset
from mocoop.results.costs import Cost, costs_of, costs_table
from mocoop.runs.run import list_runs, shipped_runs
from mocoop.runs.weights import learned_numbers
from mocoop.training.prepare import prepare


def test_the_shipped_run_is_counted():
    runs = [run for run in list_runs([shipped_runs()]) if run.setup().config.data == "albums"]
    (run,) = (run for run in runs if run.setup().config.method == "mocoop")
    size = sum(value.numel() for value in run.weights().values())
    taken, epochs = run.results()["training_seconds"], run.setup().config.epochs
    steps = sorted(record["seconds"] for record in run.records())[-epochs:]  # but epoch 0
    middle = (steps[(epochs - 1) // 2] + steps[epochs // 2]) / 2
    form = ".2f" if middle >= 0.1 else ".3f"
    table = costs_table(costs_of(runs, "albums"), {"mocoop": 12_345_678})
    assert f"| mocoop | {size:,} | {epochs} | {middle:{form}} | {taken:.1f} | 12 |" in table
    assert f"| mocoop | {size:,} | {epochs} | {middle:{form}} | {taken:.1f} | – |" in costs_table(
        costs_of(runs, "albums"), {}
    )


def test_the_time_is_that_of_the_fastest_seed(tmp_path):
    runs = [run for run in list_runs([shipped_runs()]) if run.setup().config.data == "albums"]
    (run,) = (run for run in runs if run.setup().config.method == "mocoop")
    for factor in (0.5, 3):
        shutil.copytree(run.path, tmp_path / str(factor))
        results = run.results() | {"training_seconds": factor * run.results()["training_seconds"]}
        (tmp_path / str(factor) / "results.json").write_text(json.dumps(results))
    seconds = 0.5 * run.results()["training_seconds"]
    assert costs_of([run, *list_runs([tmp_path])], "albums")["mocoop"].seconds == seconds


def test_a_method_that_is_fitted_at_once_has_no_epochs():
    table = costs_table({"lp++": Cost(4160, 0, 0.0, 1.5)}, {})
    assert "| lp++ | 4,160 | – | – | 1.5 | – |" in table


def test_memory_is_measured_for_methods_with_prompts():
    said: list[str] = []
    found = step_memory(["taskres", "coop", "ivlp"], classes=4, experts=2, report=said.append)
    assert list(found) == ["coop", "ivlp"]
    assert 1e6 < found["coop"] < found["ivlp"] < 1e9  # it also trains in the image tower
    assert all("ours" in text for text in said)


def test_runs_with_other_settings_or_data_are_left_out(tmp_path):
    (run,) = list_runs([shipped_runs()])[:1]
    saved = json.loads((run.path / "config.json").read_text())
    saved["config"]["learning_rate"] *= 2
    other = tmp_path / "other"
    other.mkdir()
    for file in run.path.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "config.json").write_text(json.dumps(saved))
    assert not costs_of(list_runs([tmp_path]), "albums")
    assert not costs_of([run], "details")


@pytest.mark.parametrize("method", ["coop", "vpt", "maple", "clip-lora", "mocoop"])
def test_only_what_a_training_changes_is_counted(method):
    prepared = prepare(preset(method, data="albums"))
    groups, classes = prepared.groups, len(prepared.trained)
    generator = torch.Generator().manual_seed(1)
    model = build_model(prepared.config, prepared.backbone, groups, generator, classes)
    assert learned_numbers(prepared.setup(), learned_state(model)) == of_model(model)


def test_text_features_beside_what_an_adapter_learns_are_not_counted():
    prepared = prepare(preset("taskres", data="albums"))
    tensors = {"base": torch.zeros(32, 8), "residual": torch.zeros(32, 8), "ratio": torch.ones(())}
    assert learned_numbers(prepared.setup(), tensors) == 32 * 8


def test_a_context_of_random_tokens_is_learned_on_both_sides_of_the_name():
    settings = {"context_init": "random", "name_position": "middle", "context_tokens": 4}
    config = replace(preset("coop", data="albums"), **settings)
    prepared = prepare(config)
    halves = {f"prompts.{side}.0": torch.zeros(2, 8) for side in ("before", "after")}
    assert learned_numbers(prepared.setup(), halves) == 4 * 8
