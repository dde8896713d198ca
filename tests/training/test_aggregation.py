"""Aggregation over the epochs of a training: what is tested, and how it goes on after a stop."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.runs.status import CANCELLED, FINISHED
from mocoop.training import experiment
from mocoop.training.aggregation import GaussianAggregate, gaussian_weights
from mocoop.training.experiment import resume_experiment, run_experiment
from mocoop.training.snapshots import load_snapshot

GAUSSIAN = {"aggregation": "gaussian", "aggregation_mean": 2.0, "aggregation_std": 1.0}
CASES = {
    "promptsrc": {"text_depth": 2, "vision_depth": 1},
    "mocoop-src": {"vision_depth": 1},
    "mocoop": {},
    "coop": {},
}


@pytest.fixture(autouse=True)
def a_snapshot_after_every_epoch(monkeypatch):
    monkeypatch.setattr(experiment, "SNAPSHOT_SECONDS", 0.0)


def small(method, **changes):
    """Returns settings of a short training with one image per class."""
    values = {"data": "details", "shots": 1, "epochs": 3, "save_every": 1, "classes": "base"}
    return dataclasses.replace(preset(method), **values | GAUSSIAN | changes)


def weights_of(run):
    return load_file(run.path / "weights.safetensors")


def assert_same(one, other):
    """Fails unless two runs agree in every bit of weights, features, records and accuracies."""
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
    ("method", "after"),
    [
        pytest.param("promptsrc", 1, marks=pytest.mark.long),
        pytest.param("mocoop-src", 3, marks=pytest.mark.long),
        ("mocoop", 1),
        ("coop", 3),
    ],
)
def test_resumed_equals_uninterrupted(method, after, workspace, tmp_path):
    """Stopped within the training, or between the last epoch and the test."""
    config = small(method, **CASES[method])
    for _ in run_experiment(config, tmp_path / "whole"):
        pass
    training = run_experiment(config, tmp_path / "parts")
    for record in training:
        if record.epoch == after:
            break
    training.close()
    run = Run(tmp_path / "parts")
    assert run.status().state == CANCELLED
    assert any("aggregate" in name for name in load_snapshot(run.path).tensors)
    for _ in resume_experiment(run.path):
        pass
    assert run.status().state == FINISHED
    assert_same(Run(tmp_path / "whole"), run)


def test_the_finished_run_is_the_weighted_mean(workspace, tmp_path):
    """Epochs with their weights, from a training that has none; its own last record is other."""
    config = small("coop")
    after = []
    for epochs in range(1, 4):  # the same steps, stopped after each epoch
        training = run_experiment(replace(config, aggregation="none"), tmp_path / f"{epochs}")
        for record in training:
            if record.epoch == epochs:
                break
        training.close()
        after.append(load_snapshot(tmp_path / f"{epochs}").tensors["model/prompts.before.0"])
    for _ in run_experiment(config, tmp_path / "mean"):
        pass
    shares = gaussian_weights(3, 2.0, 1.0).float()
    expected = sum(share * value for share, value in zip(shares, after, strict=True))
    found = weights_of(Run(tmp_path / "mean"))["prompts.before.0"]
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, after[-1])


def test_far_from_all_epochs_the_nearest_one_counts():
    """Weights that are all 0 in floating point still sum to 1."""
    assert gaussian_weights(5, 1000.0, 1.0).tolist() == pytest.approx([0, 0, 0, 0, 1])


def test_sums_are_fp32_and_independent_of_the_parameters():
    config = small("coop", epochs=2)
    parameter = torch.nn.Parameter(torch.ones(3))
    aggregate = GaussianAggregate([parameter], config)
    aggregate.end_epoch(1)
    state = aggregate.state()
    (total,) = state.values()
    assert total.dtype == torch.float32
    with torch.no_grad():
        parameter.fill_(3.0)
    aggregate.end_epoch(2)
    first, second = gaussian_weights(2, 2.0, 1.0).tolist()
    torch.testing.assert_close(parameter.detach(), torch.full((3,), first + 3 * second))
    torch.testing.assert_close(total, torch.full((3,), first))  # a copy: the state is of before
