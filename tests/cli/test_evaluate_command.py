"""`mocoop evaluate` tests a run on the classes on which its training did."""

from __future__ import annotations

import json
from dataclasses import replace

from mocoop.cli.main import main
from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment
from tests.support.tiny_data import picture_folder, tiny_checkpoint


def test_a_new_half_of_one_class_is_left_out(tmp_path, monkeypatch, capsys):
    """Of three classes two are trained, and among the third alone every answer is right."""
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    data, clip = picture_folder(tmp_path / "pictures"), tiny_checkpoint(tmp_path / "clip")
    config = replace(preset("zero-shot"), data=data, backbone=clip, classes="base")
    run = Run(tmp_path / "run")
    list(run_experiment(config, run.path))
    assert main(["evaluate", str(run.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["results"]
    assert list(found) == ["base"]
    assert found["base"]["accuracy"] == run.results()["base"]["accuracy"]
    assert main(["evaluate", str(run.path), "--classes", "new", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["results"]) == ["new"]
