"""Files that version 0.1 wrote open, and say what their CLIP can no longer do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import mocoop
from mocoop.cli.main import main
from mocoop.errors import UserError
from mocoop.runs.paths import shipped_runs

OLD = Path(__file__).parent / "fixtures" / "before_packages"


GONE = r"This {} was trained with the built-in CLIP of version 0\.1, which is gone"


def a_picture():
    """Returns a test image of the data set that the old run was trained on, as it is now."""
    digits = mocoop.load_dataset("digits")
    return digits.image(digits.items("test", [3])[0])


def test_an_old_zip_is_unpacked_and_can_be_looked_at(workspace, tmp_path, capsys):
    command = ["unpack", str(OLD / "run.zip"), "--root", str(tmp_path), "--json"]
    assert main(command) == 0
    run = mocoop.load_run(json.loads(capsys.readouterr().out)["run"])
    assert run.status().state == "finished"
    assert run.setup().config.data == "digits"
    assert run.results()["all"]["accuracy"] > 0
    assert len(run.records()) > 1
    with pytest.raises(UserError, match=GONE.format("run")):
        mocoop.load_classifier(run)
    assert main(["evaluate", str(run.path)]) == 2
    assert "which is gone" in capsys.readouterr().err


def test_an_old_export_still_classifies_features_but_no_images():
    exported = mocoop.load_export(OLD / "classifier")
    assert exported.setup.precision == "fp32"
    features = torch.nn.functional.normalize(torch.randn(5, 128), dim=-1)
    answer = exported.classifier.classify(features).probabilities
    torch.testing.assert_close(answer.sum(dim=1), torch.ones(5))
    with pytest.raises(UserError, match=GONE.format("classifier")):
        exported.predict([a_picture()])


def test_a_set_that_is_gone_is_told():
    with pytest.raises(UserError, match=r"built-in set games is gone.*mocoop data list"):
        mocoop.load_dataset("games")


def test_shipped_runs_open():
    runs = [run for run in mocoop.list_runs() if run.path.parent == shipped_runs()]
    assert {run.name for run in runs} == {"albums-coop-16shot", "albums-mocoop-16shot"}
    for run in runs:
        found = mocoop.evaluate(run)
        assert found.accuracy == pytest.approx(run.results()["all"]["accuracy"], abs=0.2)
