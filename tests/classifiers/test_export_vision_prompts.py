"""Exported runs with learned tokens in the image tower: the same answers, ONNX too."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mocoop.classifiers.export import export_run, load_export
from mocoop.classifiers.saved import open_classifier
from mocoop.clip.backbone import load_backbone
from mocoop.features.encode import encode_images
from mocoop.model.vision_prompts import tuned_backbone
from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.storage.images import open_image
from mocoop.training.experiment import run_experiment
from tests.support.tiny_data import picture_folder, tiny_checkpoint


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that returns a finished run of the tiny CLIP, and pictures."""
    root = tmp_path_factory.mktemp("export")
    data, clip = picture_folder(root / "pictures"), tiny_checkpoint(root / "clip")
    pictures = [open_image(path)[0] for path in sorted((root / "pictures/test").rglob("*.png"))]

    def train(method):
        config = replace(preset(method), data=data, backbone=clip, shots=2, epochs=2)
        depth = {"vision_depth": 1, "text_depth": min(config.text_depth, 2), "learning_rate": 1.0}
        depth |= {"vision_lengths": (3,), "text_lengths": (0, 1)} if config.length_epochs else {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MOCOOP_CACHE", str(root / "cache"))
            list(run_experiment(replace(config, **depth), root / method))
        return Run(root / method), clip, pictures

    return train


@pytest.mark.parametrize(
    ("method", "length"), [("promptsrc", 1), ("dpl", 1), ("mocoop-v", 2), ("mocoop-src", 2)]
)
def test_an_export_answers_as_its_run(trained, tmp_path, method, length):
    """The router of a mixture sees the frozen tower's features, behind the tuned ones."""
    from onnx.reference import ReferenceEvaluator

    run, clip, pictures = trained(method)
    backbone = tuned_backbone(load_backbone(clip), run.setup().config, run.weights())
    features = encode_images(backbone, pictures)
    expected = open_classifier(run).classify(features)
    export_run(run, tmp_path / "classifier")
    exported = load_export(tmp_path / "classifier")
    dim = exported.setup.dim
    assert features.shape[-1] == length * dim
    again = encode_images(exported.image_backbone(), pictures)
    assert torch.equal(again, features)
    assert torch.equal(exported.classifier.classify(again).probabilities, expected.probabilities)
    session = ReferenceEvaluator(str(tmp_path / "classifier" / "head.onnx"))
    found = session.run(["probabilities", "weights"], {"image_features": features.numpy()})
    torch.testing.assert_close(torch.from_numpy(found[0]), expected.probabilities)
    torch.testing.assert_close(torch.from_numpy(found[1]), expected.weights)
    card = (tmp_path / "classifier" / "README.md").read_text()
    assert f"`image_features` (batch, {length * dim})" in card
    if length == 2:  # the two towers differ, so that it matters which one the router sees
        tuned, frozen = features.split(dim, dim=1)
        torch.testing.assert_close(frozen, encode_images(load_backbone(clip), pictures))
        assert (tuned - frozen).abs().max() > 1e-3
