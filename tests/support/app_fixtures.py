"""Folders of the tests' own and one small finished run, made once per session."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment


def train(method: str, path: Path, **changes: object) -> Run:
    """Returns a finished run in a folder of its own, on `details` if no data are named."""
    settings = {"data": "details"} | changes
    for _ in run_experiment(replace(preset(method), **settings), path):
        pass
    return Run(path)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """A folder with `runs` and `cache` that take the place of the user's."""
    folder: Path = tmp_path_factory.mktemp("workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOCOOP_RUNS", str(folder / "runs"))
        patch.setenv("MOCOOP_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="session")
def finished_run(workspace):
    """A finished run on the base half of `details`, every epoch kept; tests must not change it."""
    path = workspace / "runs" / "details-tiny"
    return train("mocoop", path, shots=2, epochs=3, classes="base", save_every=1)
