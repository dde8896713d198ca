"""The lab's trainings: what is measured after each epoch, and the grid that keeps it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mocoop.assets import asset
from mocoop.classifiers.saved import open_classifier
from mocoop.cli.main import main
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.presets import preset
from mocoop.protocols.lab import METHODS, OWN_RATE, OWN_WEIGHTS, LabSettings, measure
from mocoop.protocols.lab_grid import NUMBERS, TABLE, Axes, make_grid, read_grid
from mocoop.runs.run import Run
from mocoop.storage.atomic import write_tensors
from mocoop.training.experiment import run_experiment


def trained(path, config) -> Run:
    """Returns a finished run of these settings, in a folder of its own."""
    for _ in run_experiment(config, path):
        pass
    return Run(path)


SETTINGS = LabSettings("digits", shots=1, seed=1, epochs=3)
AXES = Axes(("digits",), (1,), (0.0, 5.0), (OWN_RATE,), (1,), 3)


@pytest.fixture(scope="module")
def mixture(workspace):
    """A finished run of the lab's with a router."""
    return trained(workspace / "lab" / "lab-mocoop", SETTINGS.config("mocoop"))


@pytest.fixture(scope="module")
def measured(mixture, demo_backbone):
    return measure(mixture, load_dataset("digits"), demo_backbone)


@pytest.fixture(scope="module")
def made(workspace):
    """A small grid: folder of the parts and folder of the grid."""
    parts, out = workspace / "parts", workspace / "grid"
    steps = list(make_grid(AXES, parts, out))
    assert steps[0] == (0, 5)
    assert steps[-1] == (5, 5)
    return parts, out


def test_the_last_epoch_is_what_the_run_reports(mixture, measured):
    results = mixture.results()
    for half in ("base", "new"):
        assert measured.accuracy(half)[-1] == pytest.approx(results[half]["accuracy"], abs=1e-4)
        error = measured.calibration_error(half)[-1]
        assert error == pytest.approx(results[half]["calibration_error"], abs=1e-3)
        routing = measured.routing_of(half)
        assert routing["router"] == pytest.approx(results[half]["accuracy"], abs=1e-4)
        assert routing["oracle"] >= routing["best_single"]
    trained = [record["train_accuracy"] for record in mixture.records()]
    assert measured.train[1:].tolist() == pytest.approx(trained[1:])
    assert measured.train[0].isnan()


def test_every_epoch_has_its_own_router(mixture, demo_backbone):
    features = mixture.features()
    assert list(features.gates) == list(features.soft) == [0, 1, 2, 3]
    assert not torch.equal(features.gates[1]["gate.weight"], features.gates[3]["gate.weight"])
    weights = mixture.weights()
    assert torch.equal(features.gates[3]["gate.weight"], weights["gate.weight"])
    early, late = open_classifier(mixture, 1), open_classifier(mixture)
    assert torch.equal(early.gate.weight, features.gates[1]["gate.weight"])
    assert torch.equal(late.gate.weight, weights["gate.weight"])


def test_drift_is_measured_from_the_prototypes(mixture, measured):
    features = mixture.features()
    own = 1 - (features.soft[3] * features.prototypes).sum(-1)  # (experts, classes)
    assert measured.drift("base")[-1] == pytest.approx(own[:, :5].mean().item(), abs=1e-6)
    assert measured.drift("new")[-1] == pytest.approx(own[:, 5:].mean().item(), abs=1e-6)


def test_a_shorter_training_is_the_beginning_of_a_longer_one(measured, workspace, demo_backbone):
    run = trained(workspace / "lab" / "lab-short", replace(SETTINGS, epochs=1).config("mocoop"))
    short = measure(run, load_dataset("digits"), demo_backbone)
    assert torch.equal(short.right, measured.right[:2])
    torch.testing.assert_close(short.cosine, measured.cosine[:2])


@pytest.mark.long
def test_before_training_coop_is_zero_shot(made, workspace):
    config = replace(preset("zero-shot"), data="digits", classes="base")
    untrained = trained(workspace / "lab" / "zero", config)
    coop = read_grid(made[1]).find("coop", SETTINGS)
    for half in ("base", "new"):
        reached = untrained.results()[half]["accuracy"]
        assert float(coop.accuracy(half)[0]) == pytest.approx(reached, abs=1e-4)


def test_all_methods_learn_from_the_same_images_at_the_same_rate():
    configs = [LabSettings().config(method) for method in METHODS]
    for name in ("data", "shots", "seed", "classes", "learning_rate", "epochs", "batch_size"):
        assert len({getattr(config, name) for config in configs}) == 1
    assert {LabSettings(learning_rate=0.7).config(m).learning_rate for m in METHODS} == {0.7}
    assert LabSettings(text_weight=9.0).config("coop").text_weight == 0
    assert LabSettings(text_weight=9.0).config("lasp").text_weight == 9
    with pytest.raises(UserError, match="Unknown method of the lab 'kgcoop'"):
        LabSettings().config("kgcoop")


def test_the_methods_own_rate_is_one_and_the_same():
    """If a method's recipe gets another rate, the lab's page must say which is whose."""
    assert {preset(method).learning_rate for method in METHODS} == {OWN_RATE}
    assert LabSettings().config("mocoop").learning_rate == OWN_RATE
    assert {m: preset(m).text_weight for m in METHODS if m != "coop"} == OWN_WEIGHTS


def test_the_grid_holds_what_was_measured(made, measured):
    grid = read_grid(made[1])
    assert len(grid.runs) == 5
    found = grid.find("mocoop", SETTINGS)
    assert torch.equal(found.right, measured.right)
    assert torch.equal(found.count, measured.count)
    # The grid keeps the mean of a bin in half precision.
    torch.testing.assert_close(found.confidence, measured.confidence, rtol=5e-4, atol=0)
    torch.testing.assert_close(found.routing, measured.routing)
    assert found.epochs == 3


def test_the_grid_says_what_it_lacks(made):
    grid = read_grid(made[1])
    assert grid.find("coop", replace(SETTINGS, text_weight=77.0)) is not None  # it has none
    assert grid.find("lasp", replace(SETTINGS, text_weight=77.0)) is None
    assert grid.find("coop", replace(SETTINGS, epochs=2)) is not None
    changes = [{"epochs": 4}, {"shots": 2}, {"seed": 2}, {"data": "faces"}]
    for change in [*changes, {"learning_rate": 0.4}]:
        assert grid.find("coop", replace(SETTINGS, **change)) is None


def test_what_is_done_is_not_trained_again(made, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "mocoop.protocols.lab_grid.train_part", lambda *_: pytest.fail("done twice")
    )
    parts, out = made
    assert list(make_grid(AXES, parts, tmp_path)) == [(5, 5)]
    assert (tmp_path / NUMBERS).read_bytes() == (out / NUMBERS).read_bytes()
    assert not list(parts.glob(".training-*"))


def test_a_training_that_fails_leaves_no_part(tmp_path, monkeypatch):
    def fail(*_):
        raise UserError("no disk left")

    monkeypatch.setattr("mocoop.protocols.lab_grid.measure", fail)
    with pytest.raises(UserError, match="no disk left"):
        list(make_grid(replace(AXES, epochs=1), tmp_path / "parts", tmp_path / "out"))
    assert list((tmp_path / "parts").iterdir()) == []
    assert not (tmp_path / "out").exists()


def test_a_grid_of_the_format_before_is_told_in_a_sentence(made, tmp_path):
    for name in (TABLE, NUMBERS):
        (tmp_path / name).write_bytes((made[1] / name).read_bytes())
    values = json.loads((tmp_path / TABLE).read_text())
    (tmp_path / TABLE).write_text(json.dumps(values | {"format": 1}))
    with pytest.raises(UserError, match=r"has format 1; .* trainings of format 2 also differ"):
        read_grid(tmp_path)


def test_damaged_grids_are_named(made, tmp_path):
    for name in (TABLE, NUMBERS):
        (tmp_path / name).write_bytes((made[1] / name).read_bytes())
    assert read_grid(tmp_path)
    values = json.loads((tmp_path / TABLE).read_text())
    (tmp_path / TABLE).write_text(json.dumps(values | {"format": 99}))
    with pytest.raises(UserError, match=r"newer version of .* in format 99; .* reads format 2"):
        read_grid(tmp_path)
    (tmp_path / TABLE).write_text(json.dumps(values | {"axes": {"data": ["digits"]}}))
    with pytest.raises(UserError, match="is damaged"):
        read_grid(tmp_path)
    (tmp_path / TABLE).write_text(json.dumps(values))
    packed = (tmp_path / NUMBERS).read_bytes()
    write_tensors(tmp_path / NUMBERS, {"count": torch.zeros(1)})
    with pytest.raises(UserError, match=f"{NUMBERS} does not belong to {TABLE}"):
        read_grid(tmp_path)
    (tmp_path / NUMBERS).write_bytes(packed[:-9])
    cut = {"sha256": hashlib.sha256(packed[:-9]).hexdigest()}
    (tmp_path / TABLE).write_text(json.dumps(values | cut))
    with pytest.raises(UserError, match="is damaged"):
        read_grid(tmp_path)
    (tmp_path / NUMBERS).unlink()
    with pytest.raises(UserError, match="is damaged"):
        read_grid(tmp_path)
    with pytest.raises(UserError, match=f"{TABLE} is missing"):
        read_grid(tmp_path / "nowhere")


def test_axes_of_the_same_value_twice_are_refused():
    with pytest.raises(UserError, match="shots must have at least one value"):
        replace(AXES, shots=(1, 1))
    with pytest.raises(UserError, match="learning_rates must have at least one value"):
        replace(AXES, learning_rates=(0.1, 0.2, 0.1))
    with pytest.raises(UserError, match="seeds must have at least one value"):
        replace(AXES, seeds=())


def test_other_runs_are_not_measured(workspace, demo_backbone):
    config = replace(SETTINGS.config("coop"), epochs=1, classes="all")
    everything = trained(workspace / "lab" / "all", config)
    with pytest.raises(UserError, match="is not one of the lab"):
        measure(everything, load_dataset("digits"), demo_backbone)
    config = replace(SETTINGS.config("coop"), epochs=4, save_every=3)
    gaps = trained(workspace / "lab" / "gaps", config)
    with pytest.raises(UserError, match="did not save every epoch"):
        measure(gaps, load_dataset("digits"), demo_backbone)


def test_the_command_makes_a_grid(made, tmp_path, capsys):
    arguments = ["--data", "digits", "--shots", "1", "--text-weights", "0", "5"]
    arguments += ["--learning-rates", str(OWN_RATE), "--seeds", "1"]
    arguments += ["--epochs", "3", "--workers", "1", "--root", str(made[0])]
    assert main(["lab-grid", *arguments, "--out", str(tmp_path)]) == 0
    assert "5 trainings" in capsys.readouterr().out
    assert read_grid(tmp_path).axes == AXES


def test_the_grid_that_ships_comes_from_its_recipe(workspace, demo_backbone):
    grid = read_grid()
    assert grid.backbone_fingerprint == demo_backbone.fingerprint
    settings = LabSettings("details", shots=2, seed=2, epochs=4)
    run = trained(workspace / "lab" / "again", settings.config("coop"))
    again = measure(run, load_dataset("details"), demo_backbone)
    shipped = grid.find("coop", settings)
    for half in ("base", "new"):
        # Another machine may round a few images to the other side.
        torch.testing.assert_close(
            again.accuracy(half), shipped.accuracy(half)[:5], atol=2.0, rtol=0
        )


def test_the_grid_that_ships_is_small():
    assert (asset("lab") / NUMBERS).stat().st_size < 2.5e6


def test_the_grid_that_ships_is_whole():
    grid = read_grid()
    assert {key[0] for key in grid.runs} == set(METHODS)
    images = {data: len(load_dataset(data).items("test")) for data in grid.axes.data}
    for (method, data, *_), run in grid.runs.items():
        assert run.epochs == grid.axes.epochs
        assert (run.count.sum(dim=(1, 2)) == images[data]).all()
        assert (run.right <= run.count).all()
        assert bool(run.routing_of("new")) == (method == "mocoop")


def test_results_say_what_the_shipped_grid_says(capsys):
    """Every number of the table of overfitting is one that `lab-grid --show` prints."""
    assert main(["lab-grid", "--show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    grid = read_grid()
    kinds = {key[:-1] for key in grid.runs if key.shots == max(grid.axes.shots)}
    assert len(lines) == 1 + len(kinds)
    page = (Path(__file__).parents[2] / "docs/results.md").read_text(encoding="utf-8")
    table = page.partition("## Overfitting, after training on one half")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(grid.axes.data) * len(grid.axes.learning_rates)
    columns = (("coop", 0), ("lasp", 5), ("mocoop", 5))
    for data, rate, *cells in rows:
        for (method, weight), cell in zip(columns, cells, strict=True):
            (line,) = [
                line
                for line in lines
                if re.match(rf"{data.strip()} +rate {rate.strip()} ", line)
                and f" {method} " in line
                and f"text weight {weight} " in line
            ]
            numbers = re.findall(r"\d+\.\d", cell)
            assert len(numbers) == 4
            assert numbers == re.findall(r"\d+\.\d", line.partition("base ")[2])[:4]
