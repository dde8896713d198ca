"""The keys of the app's caches hold the data set and the CLIP as they are on disk."""

from __future__ import annotations

import os
import shutil

import pytest

from app.bench import view as bench
from app.caches import answers, pictures, runs
from app.caches import data as data_caches
from app.routing import cached
from mocoop.assets import asset
from mocoop.presets import preset

CACHED = {
    "routed": lambda run: runs.routed_test_items(run, "base"),
    "gallery": lambda run: runs.gallery(run, "base"),
    "classifier": runs.classifier,
    "training images": runs.training_images,
    "many pictures": bench.distances_of,
    "answers": lambda run: answers.run_answers(run, "base"),
    "untrained": lambda run: answers.untrained("demo", "details", answers.UNTRAINED[0]),
    "text": lambda run: answers.text_features("demo", "details", "a photo of a {}."),
    "test images": lambda run: answers.images_to_test("demo", "details", "base"),
}


@pytest.mark.parametrize("name", CACHED)
def test_changed_data_is_computed_again(one_run, monkeypatch, name):
    ask = CACHED[name]
    first = ask(one_run)
    assert ask(one_run) is first
    monkeypatch.setattr(data_caches, "data_stamp", lambda name, root=None: "changed")
    assert ask(one_run) is not first


def test_value_of_routing_is_computed_again(one_run, monkeypatch):
    asked = []
    monkeypatch.setattr(cached, "routing_value", lambda *args: asked.append(args))
    cached.value_of_routing(one_run, "base")
    cached.value_of_routing(one_run, "base")
    assert len(asked) == 1
    monkeypatch.setattr(data_caches, "data_stamp", lambda name, root=None: "changed")
    cached.value_of_routing(one_run, "base")
    assert len(asked) == 2


def test_a_clip_in_a_folder_is_loaded_again_when_its_weights_change(empty_runs, tmp_path):
    folder = tmp_path / "clip"
    shutil.copytree(asset("demo-clip"), folder)
    first = data_caches.backbone(str(folder))
    assert data_caches.backbone(str(folder)) is first
    image = data_caches.dataset("details").image(data_caches.dataset("details").items("test")[0])
    precision = preset("mocoop").precision
    feature = pictures.plain_feature(str(folder), precision, image)
    assert pictures.plain_feature(str(folder), precision, image) is feature
    os.utime(folder / "open_clip_model.safetensors", ns=(1, 1))
    assert data_caches.backbone(str(folder)) is not first
    assert pictures.plain_feature(str(folder), precision, image) is not feature


@pytest.mark.parametrize("before_the_file", ["", "ViT-B-32/"])
def test_stamps_of_a_file_and_of_a_name(tmp_path, before_the_file):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"1")
    named = f"{before_the_file}{weights}"
    before = data_caches.clip_stamp(named)
    assert before
    os.utime(weights, ns=(1, 1))
    assert data_caches.clip_stamp(named) != before
    assert data_caches.clip_stamp("demo") == data_caches.clip_stamp("ViT-B-32/openai") == ""
