"""What a sweep trains, decides and tests, and how it goes on after a stop.

Most tests replace the trainings by a rule that gives accuracies; whole sweeps train the tiny CLIP.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mocoop.cli.main import main
from mocoop.datasets.builtin import SceneDataset
from mocoop.errors import UserError
from mocoop.protocols.runner import run_name
from mocoop.runs.run import Run
from mocoop.storage.atomic import write_json
from mocoop.storage.engines import Engine
from mocoop.sweeps import halving
from mocoop.sweeps.halving import run_sweep, total_epochs
from mocoop.sweeps.journal import Journal
from mocoop.sweeps.plan import Halving, Sweep
from mocoop.sweeps.table import records, sweep_table
from mocoop.sweeps.training import Reached, finish, reach
from mocoop.training.experiment import run_experiment
from tests.support.benchmark_files import add_imagenet
from tests.support.tiny_data import picture_folder, tiny_checkpoint

LOCAL = Engine()
RESULTS = "results.json"
SWEEP = Sweep(
    ("digits",),
    ("coop",),
    (2,),
    (1, 2),
    settings={"epochs": 4},
    grid={"learning_rate": (0.5, 0.001, 0.1, 2.0)},
    halving=Halving(1, 2),
)
"""Four learning rates and two seeds; of 4 candidates 2 go on, and then 1."""
GOOD = {0.5: 40.0, 0.001: 10.0, 0.1: 50.0, 2.0: 58.0}
"""Learning rate → accuracy after an epoch; 2.0 is best then, but gets no better."""


def ruled(config, path, until):
    """Stands for a training: better with every epoch, but for the largest rate."""
    path.mkdir(parents=True, exist_ok=True)
    if config.learning_rate > 100:
        return Reached(diverged="loss is no longer a finite number")
    if config.text_depth > 12:
        return Reached(error="the text tower has no such block")
    gain = 0 if config.learning_rate == 2.0 else 5 * until
    return Reached(GOOD[config.learning_rate] + gain + config.seed, 0.1)


def finishes(config, path):
    """Stands for a test of a run."""
    write_json(path / "status.json", {"state": "finished"})
    write_json(path / RESULTS, {"all": {"accuracy": 30.0 + config.seed}})
    return path


@pytest.fixture
def trained(monkeypatch):
    """Replaces the trainings; returns the list of those that were asked for."""
    asked = []

    def listed(config, path, until):
        asked.append((path.name, until))
        return ruled(config, path, until)

    monkeypatch.setattr(halving, "reach", listed)
    monkeypatch.setattr(halving, "finish", finishes)
    monkeypatch.setattr(Run, "results", lambda run: json.loads((run.path / RESULTS).read_text()))
    return asked


def followed(training):
    """Returns what a sweep yields and what it returns."""
    seen = []
    while True:
        try:
            seen.append(next(training))
        except StopIteration as end:
            return seen, end.value


def numbers(sweep, outcome):
    """Returns all accuracies, without the folders of the runs."""
    found = records(sweep, outcome)
    for record in found:
        for test in record["test"]:
            del test["run"]
    return found


def without_times(folder):
    """Returns what a journal says of runs and decisions."""
    kept = [entry for entry in Journal(folder).entries() if entry["kind"] != "begin"]
    return [{k: v for k, v in e.items() if k not in ("time", "seconds")} for e in kept]


def decisions(folder):
    return [entry for entry in Journal(folder).entries() if entry["kind"] == "decision"]


def test_the_better_half_goes_on_and_the_best_is_tested(trained, tmp_path):
    seen, outcome = followed(run_sweep(SWEEP, tmp_path / "sweep", LOCAL))
    assert seen[0] == (0, total_epochs(SWEEP))
    assert seen[-1] == (total_epochs(SWEEP), total_epochs(SWEEP))
    assert [(entry["epoch"], entry["kept"]) for entry in decisions(tmp_path / "sweep")] == [
        (1, ["coop, learning_rate 2", "coop, learning_rate 0.1"]),
        (2, ["coop, learning_rate 0.1"]),
        (4, ["coop, learning_rate 0.1"]),
    ]
    assert len(trained) == len(set(trained)) == 2 * (4 + 2 + 1)
    assert [scored.epoch for scored in outcome.scored] == [4, 2, 1, 1]
    progress = Journal(tmp_path / "sweep").progress()
    assert (progress.finished, progress.left, progress.candidates) == (True, 1, 4)
    results = sorted((tmp_path / "sweep").glob("runs/*/results.json"))
    assert [path.parent for path in results] == sorted(r.path for r in outcome.tests.values())


def test_candidates_whose_numbers_look_alike_stay_apart(trained, tmp_path, monkeypatch):
    """Equal in words, as 0.1 and 0.10000000001 are: only the better one is tested."""
    near = 0.10000000001
    monkeypatch.setitem(GOOD, near, GOOD[0.1] + 1)
    alike = replace(SWEEP, grid={"learning_rate": (0.1, near)}, halving=None)
    _, outcome = followed(run_sweep(alike, tmp_path / "sweep", LOCAL))
    assert outcome.chosen.candidate.changes == {"learning_rate": near}
    tested = {run.path.name for run in outcome.tests.values()}
    assert tested == {run_name(c) for c in alike.configs(outcome.chosen.candidate).values()}


def test_without_halving_all_train_to_the_end(trained, tmp_path):
    _, outcome = followed(run_sweep(replace(SWEEP, halving=None), tmp_path / "sweep", LOCAL))
    assert outcome.chosen.candidate.changes == {"learning_rate": 0.1}
    assert outcome.chosen.mean == pytest.approx(50 + 20 + 1.5)
    assert {scored.epoch for scored in outcome.scored} == {4}
    means = [scored.mean for scored in outcome.scored]
    assert means == sorted(means, reverse=True)


def test_the_table_shows_tests_of_the_chosen_one_alone(trained, tmp_path):
    _, outcome = followed(run_sweep(SWEEP, tmp_path / "sweep", LOCAL))
    table = sweep_table(SWEEP, outcome)
    assert table.columns == ("validation", "test")
    lines = table.blocks[0].lines
    assert lines[0].labels[0] == f"→ {outcome.chosen.candidate.words}"
    assert not [line for line in lines[1:] if line.labels[0].startswith("→")]
    assert lines[0].cells[1].mean == pytest.approx(31.5)
    assert lines[0].cells[1].std == pytest.approx(0.5**0.5)
    assert {line.cells[1].mean for line in lines[1:]} == {None}
    assert [record["test"] != [] for record in records(SWEEP, outcome)] == [True, *[False] * 3]


def test_a_stopped_sweep_goes_on_to_the_same_end(trained, tmp_path):
    _, expected = followed(run_sweep(SWEEP, tmp_path / "whole", LOCAL))
    trained.clear()
    folder = tmp_path / "stopped"
    for number in (1, 4, 9, 12):  # stopped four times
        training = run_sweep(SWEEP, folder, LOCAL)
        while sum(e["kind"] == "run" for e in Journal(folder).entries()) < number:
            next(training)
        training.close()
        with (folder / "journal.jsonl").open("a") as file:
            file.write('{"kind": "run", "ru')  # killed while it wrote
    _, outcome = followed(run_sweep(SWEEP, folder, LOCAL))
    assert numbers(SWEEP, outcome) == numbers(SWEEP, expected)
    assert without_times(folder) == without_times(tmp_path / "whole")
    assert len(trained) == len(set(trained)) == 14


def test_progress_tells_the_time_left(trained, tmp_path, monkeypatch):
    clock = iter(range(1000, 2000, 10))
    monkeypatch.setattr("mocoop.sweeps.journal.time.time", lambda: next(clock))
    training = run_sweep(SWEEP, tmp_path / "sweep", LOCAL)
    assert next(training) == (0, 16)
    assert Journal(tmp_path / "sweep").progress().seconds_left is None
    next(training)
    next(training)  # two epochs in 20 seconds
    progress = Journal(tmp_path / "sweep").progress()
    assert (progress.done, progress.total, progress.best) == (2, 16, "")
    assert progress.seconds_left == pytest.approx(140)


def test_a_diverging_candidate_is_left_out(trained, tmp_path):
    wild = replace(SWEEP, grid={"learning_rate": (1e3, 0.1)})
    for _ in range(2):  # the second time from the journal
        _, outcome = followed(run_sweep(wild, tmp_path / "sweep", LOCAL))
        assert outcome.chosen.candidate.changes == {"learning_rate": 0.1}
        assert "no longer a finite number" in outcome.scored[1].why
        assert sweep_table(wild, outcome).blocks[0].lines[1].labels[1] == "diverged"
    hopeless = replace(wild, grid={"learning_rate": (1e3,)})
    with pytest.raises(UserError, match="All trainings diverged"):
        followed(run_sweep(hopeless, tmp_path / "hopeless", LOCAL))


def test_runs_that_cannot_be_trained_are_told_after_the_others(trained, tmp_path):
    odd = replace(SWEEP, grid={"text_depth": (99, 1), "learning_rate": (0.1,)}, seeds=(1,))
    with pytest.raises(UserError, match=r"1 of 2 trainings failed(.|\n)*no such block"):
        followed(run_sweep(odd, tmp_path / "sweep", LOCAL))
    good = run_name(next(iter(odd.configs(odd.candidates()[1]).values())))
    assert list(Journal(tmp_path / "sweep").reached()) == [(good, 1)]


def test_another_sweep_in_the_folder_is_refused(trained, tmp_path):
    next(run_sweep(SWEEP, tmp_path / "sweep", LOCAL))
    with pytest.raises(UserError, match="holds a sweep with other settings"):
        next(run_sweep(replace(SWEEP, seeds=(1,)), tmp_path / "sweep", LOCAL))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(UserError, match="is not empty, and no sweep"):
        next(run_sweep(SWEEP, tmp_path / "mine", LOCAL))


def test_a_sweep_of_a_newer_version_is_left_alone(trained, tmp_path):
    next(run_sweep(SWEEP, tmp_path / "sweep", LOCAL))
    file = tmp_path / "sweep/sweep.json"
    newer = json.loads(file.read_text()) | {"format": 2}
    write_json(file, newer)
    with pytest.raises(UserError, match="written by a newer version of MoCoOp in format 2"):
        next(run_sweep(SWEEP, tmp_path / "sweep", LOCAL))
    assert json.loads(file.read_text()) == newer


def test_two_commands_do_not_run_the_same_sweep(trained, tmp_path):
    first = run_sweep(SWEEP, tmp_path / "sweep", LOCAL)
    next(first)
    with pytest.raises(UserError, match="Another command runs the sweep"):
        next(run_sweep(SWEEP, tmp_path / "sweep", LOCAL))
    first.close()
    next(run_sweep(SWEEP, tmp_path / "sweep", LOCAL))


def test_data_without_validation_images_of_their_own_are_refused(tmp_path, monkeypatch):
    original = SceneDataset.items
    monkeypatch.setattr(
        SceneDataset, "items", lambda s, split, labels=None: () if split == "val"
        else original(s, split, labels)
    )  # fmt: skip
    with pytest.raises(UserError, match="digits has no validation images to choose on"):
        next(run_sweep(SWEEP, tmp_path / "sweep", LOCAL))
    monkeypatch.setenv("MOCOOP_DATA", str(tmp_path))
    add_imagenet(tmp_path)
    with pytest.raises(UserError, match="validation images of imagenet are its test images"):
        next(run_sweep(replace(SWEEP, data=("imagenet",)), tmp_path / "sweep", LOCAL))


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A sweep of two learning rates over the tiny CLIP."""
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "runs"))
    return replace(
        SWEEP,
        data=(picture_folder(tmp_path / "pictures"),),
        backbone=tiny_checkpoint(tmp_path / "clip"),
        grid={"learning_rate": (0.5, 0.001)},
        settings={"epochs": 2},
        seeds=(1,),
    )


def test_a_paused_run_is_that_of_a_training_without_a_stop(tiny, tmp_path):
    (config,) = tiny.configs(tiny.candidates()[0]).values()
    path, whole = tmp_path / "paused", tmp_path / "whole"
    assert reach(config, path, 1).accuracy is not None
    assert Run(path).status().message == "paused by its sweep after epoch 1"
    reached = reach(config, path, 2)
    assert not (path / "results.json").exists()  # nothing is tested
    stamp = (path / "status.json").read_bytes()
    assert reach(config, path, 2).accuracy == reach(config, path, 9).accuracy == reached.accuracy
    assert (path / "status.json").read_bytes() == stamp  # nothing was trained again
    finish(config, path)
    for _ in run_experiment(config, whole):
        pass
    expected, found = (load_file(run / "weights.safetensors") for run in (whole, path))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert Run(path).records()[-1]["val_accuracy"] == reached.accuracy
    assert Run(path).results()["all"]["accuracy"] == Run(whole).results()["all"]["accuracy"]


def test_a_training_that_diverges_or_does_not_fit_is_told(tiny, tmp_path):
    (config,) = tiny.configs(tiny.candidates()[0]).values()
    wild = reach(replace(config, learning_rate=1e38, epochs=3), tmp_path / "wild", 3)
    assert "no longer a finite number" in wild.diverged
    odd = reach(replace(config, text_depth=99), tmp_path / "odd", 1)
    assert "text_depth" in odd.error
    assert not (tmp_path / "odd").exists()


SWEEP_FILE = """\
data: {data}
backbone: {backbone}
methods: coop
shots: 2
seeds: [1, 2]
settings: {{epochs: 4}}
grid: {{learning_rate: [0.5, 0.001]}}
halving: {{first: 2, factor: 2}}
"""


@pytest.mark.long
def test_a_killed_command_goes_on_to_the_same_end(tiny, tmp_path, capsys):
    """Whole commands: one without a stop, one that is killed twice, in the middle of a rung."""
    file = tmp_path / "rates.yaml"
    file.write_text(SWEEP_FILE.format(data=tiny.data[0], backbone=tiny.backbone))
    assert main(["sweep", str(file), "--folder", str(tmp_path / "whole"), "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    folder = tmp_path / "killed"
    line = ["sweep", str(file), "--folder", str(folder)]
    for number in (1, 5):
        process = subprocess.Popen([sys.executable, "-m", "mocoop", *line], env=os.environ)
        while sum(entry["kind"] == "run" for entry in Journal(folder).entries()) < number:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert main([*line, "--json", "--csv", str(tmp_path / "all.csv")]) == 0
    killed = json.loads(capsys.readouterr().out)
    for answer in (whole, killed):
        for test in (test for record in answer["candidates"] for test in record["test"]):
            test["run"] = Path(test["run"]).name
    assert killed["candidates"] == whole["candidates"]
    assert without_times(folder) == without_times(tmp_path / "whole")
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 1 + 4
    assert main(line) == 0
    printed = capsys.readouterr().out
    assert "chosen on validation images: coop, learning_rate" in printed
    assert (folder / "table.md").read_text() in printed
