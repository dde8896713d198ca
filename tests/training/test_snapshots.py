"""A training that was stopped and went on is the training that was never stopped."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mocoop.errors import UserError
from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.runs.status import CANCELLED, FAILED, FINISHED, INTERRUPTED
from mocoop.runs.writer import queue_again
from mocoop.training import experiment
from mocoop.training.experiment import resume_experiment, run_experiment
from mocoop.training.snapshots import FOLDER, STATE, load_snapshot, saved_epoch

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def a_snapshot_after_every_epoch(monkeypatch):
    monkeypatch.setattr(experiment, "SNAPSHOT_SECONDS", 0.0)


def small(method="mocoop", **changes):
    values = {"data": "details", "shots": 1, "epochs": 4, "save_every": 2} | changes
    return dataclasses.replace(preset(method), **values)


def stopped_run(path: Path, config, after: int) -> Run:
    """Returns a run that was stopped after an epoch."""
    training = run_experiment(config, path)
    for record in training:
        if record.epoch == after:
            break
    training.close()
    return Run(path)


def assert_same_outcome(one: Run, other: Run) -> None:
    """Fails unless two runs agree in every bit but in the time they took."""
    for name in ("weights.safetensors", "features.safetensors"):
        first, second = load_file(one.path / name), load_file(other.path / name)
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert torch.equal(value, second[key]), key
    times = {"seconds": 0.0}
    assert [r | times for r in one.records()] == [r | times for r in other.records()]
    unlike = {"training_seconds": 0.0}
    assert one.results() | unlike == other.results() | unlike


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("mocoop", {"classes": "base"}),
        pytest.param(  # live images, LayerNorms
            "mocoop-ln", {"epochs": 2, "save_every": 1}, marks=pytest.mark.long
        ),
        ("cocoop", {"epochs": 2, "save_every": 1}),
        pytest.param("mocoop-cond", {"epochs": 2, "save_every": 1}, marks=pytest.mark.long),
        ("prograd", {"momentum": 0.5}),
    ],
)
def test_resumed_equals_uninterrupted(method, changes, workspace, tmp_path):
    config = small(method, **changes)
    for _ in run_experiment(config, tmp_path / "whole"):
        pass
    run = stopped_run(tmp_path / "parts", config, after=1)
    assert run.status().state == CANCELLED
    assert saved_epoch(run.path) == 1
    seen = [record.epoch for record in resume_experiment(run.path)]
    assert seen == list(range(2, config.epochs + 1))
    assert run.status().state == FINISHED
    assert not (run.path / FOLDER).exists()
    assert_same_outcome(Run(tmp_path / "whole"), run)


def test_a_run_that_stopped_before_its_first_epoch_has_one_record_of_that(workspace, tmp_path):
    config = small(epochs=1, save_every=1)
    for _ in run_experiment(config, tmp_path / "whole"):
        pass
    run = stopped_run(tmp_path / "parts", config, after=0)
    assert saved_epoch(run.path) == 0
    assert [record.epoch for record in resume_experiment(run.path)] == [0, 1]
    assert_same_outcome(Run(tmp_path / "whole"), run)


def test_momentum_and_random_numbers_are_needed(workspace, tmp_path):
    """Without them the outcome is another one: the test above can fail."""
    config = small()
    for _ in run_experiment(config, tmp_path / "whole"):
        pass
    for name in ("momentum", "generator"):
        run = stopped_run(tmp_path / name, config, after=2)
        path = run.path / FOLDER / STATE
        told = load_snapshot(run.path)
        tensors = {
            key: torch.Generator().manual_seed(99).get_state() if key == "generator" else value
            for key, value in told.tensors.items()
        }
        if name == "momentum":
            kept = {k: v for k, v in told.tensors.items() if "momentum" not in k}
            assert len(kept) < len(told.tensors)
            tensors = kept
        metadata = {"epoch": "2", "seconds": "1", "material": told.fingerprint}
        save_file(tensors, path, metadata)
        for _ in resume_experiment(run.path):
            pass
        with pytest.raises(AssertionError):
            assert_same_outcome(Run(tmp_path / "whole"), run)


def test_killed_process_goes_on_from_its_last_snapshot(workspace, tmp_path):
    command = [sys.executable, "-m", "mocoop", "train", "--data", "details", "--shots", "1"]
    command += ["--epochs", "4000", "--run", str(tmp_path / "run"), "--quiet"]
    process = subprocess.Popen(command, cwd=ROOT)
    run = Run(tmp_path / "run")
    end = time.monotonic() + 60
    while saved_epoch(run.path) is None:
        assert time.monotonic() < end, "no snapshot came"
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(20)
    assert run.status().state == INTERRUPTED
    first = saved_epoch(run.path)
    training = resume_experiment(run.path)
    assert next(training).epoch == first + 1
    training.close()
    epochs = [record["epoch"] for record in run.records()]
    assert epochs == list(range(first + 2))  # none twice, none left out


def test_run_stopped_in_its_test_needs_no_more_epoch(workspace, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("No space left on device")

    config = small()
    monkeypatch.setattr(experiment, "results_on_test", fail)
    with pytest.raises(OSError, match="No space"):
        list(run_experiment(config, tmp_path / "run"))
    monkeypatch.undo()
    run = Run(tmp_path / "run")
    assert run.status().state == FAILED
    assert list(resume_experiment(run.path)) == []
    assert run.status().state == FINISHED
    assert list(run.features().soft) == [0, 2, 4]


def test_other_images_are_refused(workspace, tmp_path):
    run = stopped_run(tmp_path / "run", small(), after=2)
    values = (run.path / "config.json").read_text()
    (run.path / "config.json").write_text(values.replace('"seed": 1', '"seed": 2'))
    with pytest.raises(UserError, match="cannot be resumed: its images"):
        list(resume_experiment(run.path))
    assert run.status().state == FAILED
    assert saved_epoch(run.path) == 2  # once they are back, it can


def test_what_cannot_go_on_says_why(finished_run, workspace, tmp_path):
    with pytest.raises(UserError, match="no snapshot to resume from"):
        list(resume_experiment(finished_run.path))
    with pytest.raises(UserError, match="only a stopped run can be resumed"):
        queue_again(finished_run)
    run = stopped_run(tmp_path / "run", small(), after=2)
    shutil.copytree(run.path, tmp_path / "damaged")
    (tmp_path / "damaged" / FOLDER / STATE).write_bytes(b"short")
    assert saved_epoch(tmp_path / "damaged") is None
    with pytest.raises(UserError, match="damaged"):
        list(resume_experiment(tmp_path / "damaged"))
    training = resume_experiment(run.path)
    next(training)
    with pytest.raises(UserError, match="is running: only a stopped run can be resumed"):
        list(resume_experiment(run.path))
    training.close()


def test_diverged_run_has_nothing_to_go_on_from(workspace, tmp_path):
    config = small(learning_rate=1e30, clip_norm=0.0, epochs=6)
    with pytest.raises(UserError, match="smaller learning rate"):
        list(run_experiment(config, tmp_path / "run"))
    assert saved_epoch(tmp_path / "run") is None
