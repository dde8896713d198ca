"""Exported classifiers: the same answers as the run's, without run and text tower."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mocoop.classifiers.export import export_run, load_export
from mocoop.cli.main import main
from mocoop.clip.text_tower import TextTower
from mocoop.clip.tuned_tower import TunedTower
from mocoop.errors import UserError
from mocoop.features.encode import encode_images
from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.storage.images import open_image
from mocoop.training.experiment import run_experiment
from tests.support.tiny_data import picture_folder, tiny_checkpoint

METHODS = ("mocoop", "mocoop-ln", "coop", "cocoop", "mocoop-cond", "linear-probe")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs of the tiny CLIP by method, and a picture."""
    root = tmp_path_factory.mktemp("export")
    data, backbone = picture_folder(root / "pictures"), tiny_checkpoint(root / "clip")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOCOOP_CACHE", str(root / "cache"))
        for method in METHODS:
            base = preset(method)
            config = replace(base, data=data, backbone=backbone, shots=2)
            config = replace(config, epochs=min(base.epochs, 2), augment="none")
            list(run_experiment(config, root / method))
    found = {method: Run(root / method) for method in METHODS}
    return found, root / "pictures" / "test" / "red cup" / "0.png"


@pytest.mark.parametrize("method", ["mocoop", "mocoop-ln", "coop"])
def test_same_answers_as_predict(runs, tmp_path, capsys, monkeypatch, method):
    """The loaded classifier says what `mocoop predict` says, and never asks the text tower."""
    found, picture = runs
    assert main(["predict", str(found[method].path), str(picture), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["images"][0]
    folder = tmp_path / "classifier"
    command = ["export", str(found[method].path), "--out", str(folder), "--no-onnx", "--json"]
    assert main(command) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert sorted(files) == sorted(path.name for path in folder.iterdir())

    def refuse(*args):
        raise AssertionError("the text tower was used")

    for name in ("encode_prompts", "encode_tokens"):
        monkeypatch.setattr(TextTower, name, refuse)
    exported = load_export(folder)
    features = encode_images(exported.image_backbone(), [open_image(picture)[0]])
    routed = exported.classifier.classify(features)
    names = exported.setup.class_names
    assert set(answer["probabilities"]) == set(names)
    for label, name in enumerate(names):
        got = float(routed.probabilities[0, label])
        assert got == pytest.approx(answer["probabilities"][name], abs=1e-7)
    assert dict(routed.chosen(0)) == pytest.approx(answer["experts"])
    if method == "mocoop-ln":
        assert exported.tuned.overrides
        plain = replace(exported, tuned=TunedTower())
        other = encode_images(plain.image_backbone(), [open_image(picture)[0]])
        assert not torch.equal(features, other)


@pytest.mark.parametrize("method", ["mocoop", "coop"])
def test_onnx_graph_equals_the_classifier(runs, tmp_path, method):
    """The ONNX head gives the classifier's probabilities and weights for any image feature."""
    from onnx.reference import ReferenceEvaluator

    export_run(runs[0][method], tmp_path / "classifier")
    exported = load_export(tmp_path / "classifier")
    generator = torch.Generator().manual_seed(0)
    # Longer than image features are, so that the router does not choose the same for all.
    features = 20 * F.normalize(torch.randn(7, exported.setup.dim, generator=generator), dim=-1)
    session = ReferenceEvaluator(str(tmp_path / "classifier" / "head.onnx"))
    names = ["probabilities", "weights", "logits"]
    probabilities, weights, logits = (
        torch.from_numpy(value)
        for value in session.run(names, {"image_features": features.numpy()})
    )
    routed = exported.classifier.classify(features)
    torch.testing.assert_close(probabilities, routed.probabilities, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(weights, routed.weights, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(logits.softmax(-1), routed.probabilities, rtol=1e-4, atol=1e-6)
    if method == "mocoop":
        assert len({tuple(row.nonzero().flatten().tolist()) for row in weights}) > 1


def test_missing_onnx_is_told_before_anything_is_written(runs, tmp_path, monkeypatch):
    """Without the package the error says how to get it, and leaves no half of a classifier."""
    monkeypatch.setattr("mocoop.classifiers.onnx.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package onnx.*--no-onnx"):
        export_run(runs[0]["mocoop"], tmp_path / "classifier")
    assert not (tmp_path / "classifier").exists()


@pytest.mark.parametrize("method", ["cocoop", "mocoop-cond", "linear-probe"])
def test_methods_without_text_features(runs, tmp_path, method):
    """A method whose text features change with the image, or that has none, is refused."""
    with pytest.raises(UserError, match=rf"A {method} run has no fixed text features"):
        export_run(runs[0][method], tmp_path / "classifier", onnx=False)


def test_damaged_folders(runs, tmp_path):
    """What is no export, or a damaged one, is told by name."""
    with pytest.raises(UserError, match=r"Expected a folder that `mocoop export` made"):
        load_export(tmp_path)
    folder = tmp_path / "classifier"
    export_run(runs[0]["mocoop"], folder, onnx=False)
    with pytest.raises(UserError, match="exists and is not empty"):
        export_run(runs[0]["mocoop"], folder, onnx=False)
    path = folder / "classifier.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"format": 99}))
    with pytest.raises(UserError, match=r"by a newer version of MoCoOp .* in format 99"):
        load_export(folder)
    path.write_text(json.dumps(values | {"class_names": ["a", "b"]}))
    with pytest.raises(UserError, match=r"is damaged \(text features of shape"):
        load_export(folder)
    path.write_text(json.dumps(values | {"backbone_fingerprint": "other"}))
    with pytest.raises(UserError, match="trained with other weights"):
        load_export(folder).image_backbone()
    (folder / "classifier.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="is damaged"):
        load_export(folder)
