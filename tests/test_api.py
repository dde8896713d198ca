"""The public API: what `import mocoop` offers, quickly, and equal to what the commands do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mocoop
from mocoop.cli.main import main


@pytest.fixture(scope="module")
def trained(workspace):
    """A small run that the API trained, and the epochs it told of."""
    config = mocoop.preset(
        "mocoop", data="details", shots=1, epochs=2, classes="base", save_every=1
    )
    epochs = []
    run = mocoop.train(config, on_epoch=lambda record: epochs.append(record.epoch))
    return run, epochs


def in_new_process(code):
    """Returns what a new Python process prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_importing_takes_no_torch_and_no_time():
    """Less than 0.1 s, a hundred times what it needs, so that a busy machine does not matter."""
    code = (
        "import sys, time; before = time.perf_counter(); import mocoop; "
        "print(time.perf_counter() - before, 'torch' in sys.modules, 'train' in dir(mocoop))"
    )
    seconds, torch_there, named = in_new_process(code).split()
    assert (torch_there, named) == ("False", "True")
    assert float(seconds) < 0.1


@pytest.mark.parametrize("name", mocoop.__all__)
def test_every_name_is_there_and_explained(name):
    found = getattr(mocoop, name)
    assert found.__doc__
    assert found.__module__.startswith("mocoop.")
    assert name in dir(mocoop)


def test_other_names_are_no_attributes():
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = mocoop.trian


def test_preset_takes_settings_by_name():
    config = mocoop.preset("coop", data="details", shots=4, learning_rate=1)
    assert (config.method, config.data, config.shots) == ("coop", "details", 4)
    assert config.learning_rate == 1.0
    assert mocoop.preset() == mocoop.preset("mocoop", backbone="demo")
    with pytest.raises(mocoop.UserError, match=r"Unknown setting 'shot'.*Did you mean 'shots'"):
        mocoop.preset("coop", shot=4)


def test_a_run_is_trained_found_and_evaluated(trained, capsys):
    """`evaluate` gives what the run saved, and what the command prints."""
    run, epochs = trained
    assert epochs == [0, 1, 2]
    assert run.path in [found.path for found in mocoop.list_runs()]
    assert run in mocoop.list_runs(run.path.parent)
    assert mocoop.load_run(run.name) == mocoop.load_run(str(run.path)) == mocoop.load_run(run)
    for half in ("base", "new"):
        found = mocoop.evaluate(run, classes=half)
        assert found.accuracy == pytest.approx(run.results()[half]["accuracy"])
        assert main(["evaluate", run.name, "--classes", half, "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)["results"][half]
        assert printed["accuracy"] == pytest.approx(found.accuracy)


def test_resume_finishes_a_stopped_run(workspace, tmp_path, monkeypatch):
    class StopError(Exception):
        pass

    def stop(record):
        if record.epoch == 1:
            raise StopError

    config = mocoop.preset("coop", data="details", shots=1, epochs=2)
    monkeypatch.setattr("mocoop.training.experiment.SNAPSHOT_SECONDS", 0)
    with pytest.raises(StopError):
        mocoop.train(config, tmp_path / "run", stop)
    run = mocoop.resume(tmp_path / "run")
    assert run.status().state == "finished"
    assert [record["epoch"] for record in run.records()] == [0, 1, 2]


def test_classifier_takes_paths_pictures_and_arrays(trained, tmp_path):
    run, _ = trained
    details = mocoop.load_dataset("details")
    pictures = [details.image(item) for item in details.items("test", [0])[:3]]
    pictures[0].save(tmp_path / "a.png")
    classifier = mocoop.load_classifier(run)
    assert classifier.class_names == details.class_names
    assert classifier.experts == run.setup().experts
    mixed = classifier.predict([tmp_path / "a.png", pictures[1], np.asarray(pictures[2])])
    alone = classifier.predict(pictures)
    torch.testing.assert_close(mixed.probabilities, alone.probabilities)
    torch.testing.assert_close(mixed.weights.sum(dim=1), torch.ones(3))
    early = mocoop.load_classifier(run.name, epoch=0).predict(pictures)
    assert not torch.allclose(early.probabilities, alone.probabilities)
    with pytest.raises(mocoop.UserError, match="has no saved epoch 9"):
        mocoop.load_classifier(run, epoch=9)


def test_what_is_no_picture_is_named(trained, tmp_path):
    classifier = mocoop.load_classifier(trained[0])
    (tmp_path / "broken.png").write_text("no picture")
    given = [tmp_path / "broken.png", tmp_path / "none.png", Image.new("RGB", (32, 32))]
    with pytest.raises(mocoop.UserError, match=r"2 of 3 images.*broken\.png.*none\.png"):
        classifier.predict(given)
    with pytest.raises(mocoop.UserError, match="Put it in a list"):
        classifier.predict(tmp_path / "broken.png")
    with pytest.raises(mocoop.UserError, match="For image features, use"):
        classifier.predict(torch.zeros(2, 128))


def test_features_of_the_api_are_those_of_the_training(trained, tmp_path):
    """A picture that is handed over is seen in the number format of the run."""
    run, _ = trained
    details = mocoop.load_dataset("details")
    picture = details.image(details.items("test", [0])[0])
    backbone = mocoop.load_backbone()
    same = mocoop.encode_images(backbone, [picture])
    lower = mocoop.encode_images(backbone, [picture], torch.bfloat16)
    opened = mocoop.load_classifier(run)
    torch.testing.assert_close(opened.encoder.pictures([picture]), same, rtol=0, atol=0)
    config = json.loads((run.path / "config.json").read_text())
    config["config"]["precision"] = "bf16"
    other = tmp_path / "run"
    other.mkdir()
    for file in run.path.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "config.json").write_text(json.dumps(config))
    opened = mocoop.load_classifier(other)
    torch.testing.assert_close(opened.encoder.pictures([picture]), lower, rtol=0, atol=0)
    assert not torch.equal(same, lower)


def test_export_is_loaded_and_predicts(trained, tmp_path, monkeypatch):
    run, _ = trained
    details = mocoop.load_dataset("details")
    pictures = [details.image(item) for item in details.items("test", [1])[:2]]
    folder = tmp_path / "classifier"
    assert main(["export", run.name, "--out", str(folder), "--no-onnx", "--json"]) == 0
    exported = mocoop.load_export(folder)
    expected = mocoop.load_classifier(run).predict(pictures)
    torch.testing.assert_close(exported.predict(pictures).probabilities, expected.probabilities)
    monkeypatch.setattr("mocoop.classifiers.export.load_backbone", None)  # it is there already
    exported.predict(pictures[:1])
    with pytest.raises(mocoop.UserError, match="no such folder"):
        mocoop.load_export(tmp_path / "none")


def test_py_typed_ships():
    assert (Path(mocoop.__file__).parent / "py.typed").exists()
