"""`mocoop evaluate RUN --data OTHER`: the same prompts around the class names of other data."""

from __future__ import annotations

import json

import pytest

import mocoop
from mocoop.api import preset
from mocoop.cli.main import main
from mocoop.training.experiment import run_experiment
from tests.support.image_files import add_files


def evaluate(capsys, *arguments):
    """Runs the command and returns exit code, output and errors."""
    code = main(["evaluate", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.long
def test_another_set_with_its_own_names(capsys, finished_run):
    code, out, _ = evaluate(capsys, finished_run.path, "--data", "pictographs", "--json")
    assert code == 0
    answer = json.loads(out)
    found = answer["results"]["all"]
    assert answer["data"] == "pictographs"
    assert found["num_images"] == 954
    assert {"anchor", "umbrella"} <= set(found["per_class"])
    assert found["accuracy"] > 20.0  # guessing is right for 2 %
    assert found["macro_f1"] > 0
    assert not list(finished_run.path.glob("transfer-*.json"))
    same = mocoop.evaluate(finished_run, data="pictographs")
    assert same.accuracy == pytest.approx(found["accuracy"])


def test_half_of_another_set_in_words(capsys, finished_run):
    code, out, _ = evaluate(capsys, finished_run.path, "--data", "pictographs", "--classes", "new")
    assert code == 0
    assert "trained on details, tested on pictographs" in out
    assert "new: " in out
    assert "class umbrella" in out
    assert "class airplane" not in out


def test_a_folder_of_ones_own(capsys, finished_run, tmp_path):
    names = ("sea_lion", "heron")
    add_files(tmp_path / "mine", *(f"{n}/{i}.png" for n in names for i in range(6)))
    code, out, _ = evaluate(capsys, finished_run.path, "--data", tmp_path / "mine", "--json")
    assert code == 0
    assert set(json.loads(out)["results"]["all"]["per_class"]) == {"sea lion", "heron"}


@pytest.mark.long
@pytest.mark.parametrize("method", ["linear-probe", "tip-adapter"])
def test_methods_that_know_only_their_own_classes_say_so(capsys, method, tmp_path, workspace):
    path = tmp_path / "run"
    for _ in run_experiment(preset(method, data="digits", shots=1), path):
        pass
    code, out, err = evaluate(capsys, path, "--data", "details")
    assert (code, out) == (2, "")
    assert f"{method} knows only the classes of digits, and details has others" in err
    assert "use one whose prompts accept any name" in err
    # The same classes under the same names are no others.
    code, out, _ = evaluate(capsys, path, "--data", "digits", "--json")
    assert code == 0


def test_data_that_are_not_there(capsys, finished_run):
    code, _, err = evaluate(capsys, finished_run.path, "--data", "digitz")
    assert code == 2
    assert "digits" in err
