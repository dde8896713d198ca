"""Runs that learn in the image tower: every way to open them knows their CLIP again."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import mocoop
from mocoop.analysis.neighbours import nearest
from mocoop.classifiers.pictures import ImageClassifier
from mocoop.classifiers.saved import run_backbone, run_encoder
from mocoop.cli.main import main
from mocoop.clip.tuned_tower import routed_features
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.evaluation.unlike_training import training_distances
from mocoop.features.encode import encode_images
from mocoop.presets import preset
from mocoop.runs.delete import delete_run
from mocoop.runs.run import Run
from mocoop.storage.cache_folder import kept_for
from mocoop.storage.images import open_image
from mocoop.training.experiment import run_experiment
from tests.support.tiny_data import picture_folder, tiny_checkpoint

CHANGES = {
    "mocoop-v": {"vision_depth": 1},
    "mocoop-cond": {"tune_layer_norms": True, "image_cache": False},
}


@pytest.fixture(scope="module", params=CHANGES)
def run(request, tmp_path_factory):
    """A run of a mixture whose image tower learns: by itself, and with contexts that see it."""
    root = tmp_path_factory.mktemp("tuned")
    data, clip = picture_folder(root / "pictures"), tiny_checkpoint(root / "clip")
    config = replace(preset(request.param), data=data, backbone=clip, shots=2, epochs=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOCOOP_CACHE", str(root / "cache"))
        list(run_experiment(replace(config, **CHANGES[request.param]), root / "run"))
        yield Run(root / "run")


def pictures_of(run):
    """Returns the paths of a run's test pictures."""
    return sorted((Path(run.setup().config.data) / "test").rglob("*.png"))


def test_its_results_are_found_again(run):
    again = mocoop.evaluate(run)
    assert again.accuracy == pytest.approx(run.results()["all"]["accuracy"])


def test_features_of_its_tower_are_deleted_with_it(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    copies = [Run(Path(shutil.copytree(run.path, tmp_path / name))) for name in ("one", "other")]
    for copy in copies:
        mocoop.evaluate(copy)
    own, others = (kept_for(copy.path) for copy in copies)
    assert list(own.rglob("*.safetensors"))
    (fingerprint,) = (path.name for path in (own / "features").iterdir())
    assert fingerprint == run_backbone(run).fingerprint
    frozen = [path.name for path in (tmp_path / "cache").glob("features/*")]
    assert fingerprint not in frozen  # only what all runs with the CLIP can use
    delete_run(copies[0])
    assert not own.exists()
    assert list(others.rglob("*.safetensors"))


def test_a_classifier_takes_the_clip_with_or_without_what_was_learned(run):
    tuned = run_backbone(run)
    assert tuned.fingerprint != tuned.as_loaded.fingerprint
    pictures = [open_image(path)[0] for path in pictures_of(run)]
    expected = ImageClassifier.from_run(run).predict(pictures).probabilities
    for loaded in (tuned, tuned.as_loaded):
        found = ImageClassifier.from_run(run, loaded=loaded).predict(pictures).probabilities
        torch.testing.assert_close(found, expected)


def test_an_earlier_epoch_has_no_image_tower(run):
    """Its text features are saved: with the image tower of the end they would be no such run."""
    last = mocoop.load_classifier(run, epoch=1)
    assert last.class_names == mocoop.load_classifier(run).class_names
    with pytest.raises(UserError, match="only as it was at the end of training, after epoch 1"):
        mocoop.load_classifier(run, epoch=0)


def test_another_clip_is_still_refused(run, tmp_path):
    other = mocoop.load_backbone(tiny_checkpoint(tmp_path / "other", seed=5))
    with pytest.raises(UserError, match="other weights"):
        run_backbone(run, other)


def test_pictures_are_compared_with_the_training_images_by_one_feature(run):
    """A training image is at no distance from itself, whatever features stand side by side."""
    known = training_distances(run)
    backbone = run_encoder(run).backbone
    assert known.features.shape[1] == backbone.text.dim
    lengths = known.features.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(len(lengths)))
    dataset = load_dataset(run.setup().config.data)
    items = dataset.items("train")[:3]
    features = encode_images(backbone, [dataset.image(item) for item in items])
    own = routed_features(features, backbone.text.dim)
    assert nearest(own[1], own, items)[0].cosine == pytest.approx(1.0, abs=1e-5)
    every = torch.cat([features, -features])
    distances = known.distances(every)
    assert distances[: len(items)].min() == pytest.approx(0.0, abs=1e-5)
    assert distances.max() > 1.0  # not cut off


def test_the_table_of_predict_says_what_is_unlike_the_training_images(run, tmp_path, capsys):
    table = tmp_path / "table.csv"
    main(["predict", str(run.path), *map(str, pictures_of(run)), "--csv", str(table)])
    assert "stay empty" not in capsys.readouterr().err
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == len(pictures_of(run))
    assert all(float(row["distance"]) >= 0.0 for row in rows)
