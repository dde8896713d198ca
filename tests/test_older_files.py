"""Files that version 0.1 wrote, before modules moved into packages, still work."""

from __future__ import annotations

import io
import json
import os
import re
from contextlib import redirect_stdout
from pathlib import Path

import torch

import mocoop
from mocoop.cli.main import main
from mocoop.runs.paths import shipped_runs

OLD = Path(__file__).parent / "fixtures" / "before_packages"


def a_digit():
    """Returns a test image of the data set that the old run was trained on."""
    digits = mocoop.load_dataset("digits")
    return digits.image(digits.items("test", [3])[0])


def test_an_old_zip_is_unpacked_and_classifies(workspace, tmp_path, capsys):
    command = ["unpack", str(OLD / "run.zip"), "--root", str(tmp_path), "--json"]
    assert main(command) == 0
    run = mocoop.load_run(json.loads(capsys.readouterr().out)["run"])
    assert run.status().state == "finished"
    assert run.setup().config.data == "digits"
    routed = mocoop.load_classifier(run).predict([a_digit()])
    assert routed.class_names[3] == "three"
    assert main(["evaluate", str(run.path), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["results"]["all"]["accuracy"]
    assert abs(again - run.results()["all"]["accuracy"]) < 0.2


def test_an_old_export_is_loaded_by_its_own_readme(tmp_path):
    """The lines of its README run as they stand there."""
    exported = mocoop.load_export(OLD / "classifier")
    assert exported.setup.precision == "fp32"
    a_digit().save(tmp_path / "picture.jpg", quality=95)
    for file in (OLD / "classifier").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    readme = (OLD / "classifier" / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL).group(1)
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        with redirect_stdout(io.StringIO()) as printed:
            exec(code, {})
    finally:
        os.chdir(here)
    picture = tmp_path / "picture.jpg"
    routed = exported.predict([picture])
    expected = routed.class_names[int(routed.probabilities[0].argmax())]
    assert printed.getvalue().strip() == expected


def test_an_old_export_answers_as_the_run_it_was_made_from(tmp_path, capsys):
    assert main(["unpack", str(OLD / "run.zip"), "--root", str(tmp_path), "--json"]) == 0
    run = mocoop.load_run(json.loads(capsys.readouterr().out)["run"])
    features = torch.nn.functional.normalize(torch.randn(5, 128), dim=-1)
    exported = mocoop.load_export(OLD / "classifier").classifier.classify(features)
    opened = mocoop.load_classifier(run).classifier.classify(features)
    torch.testing.assert_close(exported.probabilities, opened.probabilities)
    torch.testing.assert_close(exported.weights, opened.weights)


def test_shipped_runs_open():
    runs = [run for run in mocoop.list_runs() if run.path.parent == shipped_runs()]
    assert runs
    for run in runs:
        assert mocoop.evaluate(run).accuracy > 30
