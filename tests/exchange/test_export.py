"""A run's prompt in CoOp's layout: read back, it is the same prompt; else it is refused."""

from __future__ import annotations

import json

import pytest
import torch

from mocoop.cli.main import main
from mocoop.runs.run import Run
from tests.support.tiny_data import picture_folder, tiny_checkpoint


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The options of a few pictures and the tiny CLIP."""
    folder = tmp_path_factory.mktemp("export")
    data, clip = picture_folder(folder / "pictures"), tiny_checkpoint(folder / "clip")
    return ["--data", data, "--backbone", clip]


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "runs"))


def trained(names, path, *options):
    """Trains a run of one epoch and returns it."""
    few = ["--shots", "1", "--epochs", "1", "--quiet", "--device", "cpu"]
    assert main(["train", *names, "--run", str(path), *few, *options]) == 0
    return Run(path)


@pytest.mark.parametrize(
    "options",
    [
        ["--method", "coop"],
        ["--method", "coop", "--context-init", "random", "--name-position", "middle"],
        ["--method", "coop", "--context-init", "random", "--class-context"],
        ["--method", "cocoop", "--classes", "base"],
        ["--method", "cocoop", "--shift-per-expert"],
    ],
)
def test_there_and_back(names, tmp_path, capsys, options):
    """The features of the imported run are those of the exported one."""
    run = trained(names, tmp_path / "run", *options)
    out = tmp_path / "coop"
    capsys.readouterr()
    assert main(["export", str(run.path), "--out", str(out), "--layout", "coop", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["model.pth.tar-1", "checkpoint"]
    file = out / "prompt_learner" / "model.pth.tar-1"
    assert torch.load(file, weights_only=True)["epoch"] == 1
    place = ["--position", "middle"] if "middle" in options else []
    back = tmp_path / "back"
    assert main(["import", str(file), *names, "--run", str(back), *place]) == 0
    again = Run(back)
    last = run.features().last
    torch.testing.assert_close(again.features().last, last, atol=1e-6, rtol=0)
    assert again.setup().config.classes == run.setup().config.classes
    assert again.setup().config.method == run.setup().config.method
    for part in ("all", "base", "new"):
        if part in run.results():
            assert again.results()[part]["accuracy"] == run.results()[part]["accuracy"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--method", "mocoop"], "several prompts and a router and a correction vector"),
        (["--method", "lasp"], "a correction vector"),
        (
            ["--method", "coop", "--context-init", "template", "--learn-after"],
            "words after the name",
        ),
    ],
)
def test_what_the_layout_cannot_hold(names, tmp_path, capsys, options, said):
    run = trained(names, tmp_path / "run", *options)
    out = tmp_path / "coop"
    assert main(["export", str(run.path), "--out", str(out), "--layout", "coop"]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()
