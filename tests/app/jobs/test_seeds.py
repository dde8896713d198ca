"""Three seeds: only what is missing is started, and only whole sets are found."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from app.jobs import seeds, trainings
from mocoop.errors import UserError
from mocoop.runs.writer import queue_run
from tests.support.page_fixtures import tiny_config


@pytest.fixture
def started(empty_runs, monkeypatch):
    """Collects the settings of trainings that are started, and starts nothing."""
    asked = []
    monkeypatch.setattr(trainings, "start_run", lambda config: asked.append(config) or config)
    return asked


def finished(folder, name, config, state="finished"):
    """Writes a run of these settings into the folder of runs."""
    run = queue_run(folder / name)
    (run.path / trainings.REQUEST).write_text(json.dumps(config.to_dict()))
    status = json.loads((run.path / "status.json").read_text())
    (run.path / "status.json").write_text(json.dumps(status | {"state": state}))
    return run


def test_three_seeds_of_the_same_settings_are_started(started):
    config = tiny_config(seed=7)
    seeds.start_seeds(config)
    assert started == [replace(config, seed=seed) for seed in (1, 2, 3)]


def test_what_is_there_or_in_the_queue_is_not_started_again(started, empty_runs):
    config = tiny_config()
    finished(empty_runs, "first", replace(config, seed=1))
    finished(empty_runs, "second", replace(config, seed=2), "queued")
    finished(empty_runs, "other", replace(config, seed=3, shots=4))
    finished(empty_runs, "stopped", replace(config, seed=3), "cancelled")
    assert seeds.missing_seeds(config) == (3,)
    assert seeds.finished_seeds(config) is None
    seeds.start_seeds(config)
    assert [one.seed for one in started] == [3]


def test_all_three_are_found_again_and_not_trained_twice(started, empty_runs):
    config = tiny_config()
    for seed in (3, 1, 2, 9):
        finished(empty_runs, f"run-{seed}", replace(config, seed=seed))
    (empty_runs / "run-9" / trainings.REQUEST).write_text("{")  # a damaged one does not count
    found = seeds.finished_seeds(config)
    assert [run.name for run in found.values()] == ["run-1", "run-2", "run-3"]
    assert list(found) == [1, 2, 3]
    with pytest.raises(UserError, match="Seeds 1, 2, 3 of these settings are trained already"):
        seeds.start_seeds(config)
    assert not started
