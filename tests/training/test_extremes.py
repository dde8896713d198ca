"""Settings and data at their limits go the whole way: train, evaluate, predict, export, pack."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mocoop.classifiers.export import load_export
from mocoop.cli.main import main
from mocoop.runs.run import Run
from tests.support.tiny_data import picture_folder, tiny_checkpoint

CLASSES = 300
GROUPS = 'groups:\n  a: ["a photo of a {}."]\n  b: ["a sketch of a {}."]\n  c: ["a dark {}."]\n'


@pytest.fixture
def places(tmp_path, monkeypatch) -> Path:
    for name in ("runs", "cache", "data"):
        monkeypatch.setenv(f"MOCOOP_{name.upper()}", str(tmp_path / name))
    return tmp_path


def many_classes(folder: Path) -> str:
    """Writes a folder of 300 classes whose names share their first token; returns its path."""
    generator = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for number in range(CLASSES):
            path = folder / split / f"sea thing {number}"
            path.mkdir(parents=True)
            pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path / "0.png")
    return str(folder)


def goes_the_whole_way(places: Path, data: str, capsys, *options: str) -> Run:
    """Trains, evaluates, predicts, exports and packs a run; fails if one of them does."""
    backbone = tiny_checkpoint(places / "clip")
    path = places / "runs" / "run"
    common = ["--data", data, "--backbone", backbone, "--shots", "1", "--run", str(path)]
    assert main(["train", *common, *options, "--quiet"]) == 0, capsys.readouterr().err
    assert main(["evaluate", str(path), "--classes", "all"]) == 0
    picture = next(Path(data).rglob("*.png"))
    capsys.readouterr()
    assert main(["predict", str(path), str(picture), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["images"]
    run = Run(path)
    assert answer["label"] in run.setup().class_names
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=0.01)
    assert main(["export", str(path), "--out", str(places / "out"), "--no-onnx"]) == 0
    assert load_export(places / "out").setup.class_names == run.setup().class_names
    assert main(["pack", str(path), "--out", str(places / "run.zip")]) == 0
    return run


@pytest.mark.long
@pytest.mark.parametrize("epochs", ["0", "1"])
def test_three_hundred_classes_that_share_their_first_token(places, capsys, epochs):
    data = many_classes(places / "sea")
    (places / "groups.yaml").write_text(GROUPS)
    options = [
        "--method",
        "mocoop",
        "--templates",
        str(places / "groups.yaml"),
        "--epochs",
        epochs,
    ]
    run = goes_the_whole_way(places, data, capsys, *options, "--num-chosen", "3")
    assert len(run.setup().class_names) == CLASSES
    assert run.setup().config.num_chosen == len(run.setup().experts) == 3


def test_prompts_as_long_as_the_tower_reads(places, capsys):
    data = picture_folder(places / "pictures")
    # 77 tokens: a start, an end, a full stop, and two for each name.
    options = ["--method", "coop", "--epochs", "1", "--context-init", "random"]
    options += ["--context-tokens"]
    run = goes_the_whole_way(places, data, capsys, *options, "72")
    assert run.setup().config.context_tokens == 72


def test_prompts_that_are_longer_are_refused_in_words(places, capsys):
    data, backbone = picture_folder(places / "pictures"), tiny_checkpoint(places / "clip")
    command = ["train", "--data", data, "--backbone", backbone, "--shots", "1", "--epochs", "1"]
    command += [
        "--run",
        str(places / "runs" / "run"),
        "--method",
        "coop",
        "--context-init",
        "random",
    ]
    assert main([*command, "--context-tokens", "73", "--quiet"]) == 2
    told = capsys.readouterr().err
    assert "77" in told
    assert "Traceback" not in told
    assert not (places / "runs" / "run").exists()
