"""All images of a data set are encoded, each once. tests/cluster/ does the same on Ray."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from mocoop.cli.main import main
from mocoop.errors import UserError
from mocoop.features.extraction import Extracted, Request, all_items, extract
from mocoop.storage.engines import Engine
from tests.support.tiny_data import picture_folder, tiny_checkpoint


@pytest.fixture
def request_(tmp_path):
    """Pictures of which two are equal, and one cannot be read."""
    pictures = Path(picture_folder(tmp_path / "pictures"))
    shutil.copy(pictures / "train/red cup/0.png", pictures / "test/red cup/same.png")
    (pictures / "test/blue bird/0.png").write_bytes(b"no picture")
    clip = tiny_checkpoint(tmp_path / "clip")
    return Request(str(pictures), clip, decoders=0, cache=tmp_path / "cache")


def keys_in(folder):
    """Returns the keys in all shards of a cache, one for each row."""
    shards = (load_file(file) for file in (folder / "features").rglob("*.safetensors"))
    return [bytes(key.tolist()) for shard in shards for key in shard["keys"]]


def test_every_image_is_encoded_once(request_, tmp_path):
    images = len(all_items(request_.dataset()))
    assert images == 3 * (3 + 2 + 2) + 1
    seen = []
    done = extract(request_, progress=lambda *numbers: seen.append(numbers))
    assert (done.images, done.new) == (images, images - 2)
    (reason,) = done.unreadable
    assert "test/blue bird/0.png: this file is not a readable image" in reason
    assert seen[-1] == (images - 1, images - 1)
    keys = keys_in(tmp_path / "cache")
    assert len(keys) == len(set(keys)) == images - 2
    again = extract(request_)
    assert (again.new, len(again.unreadable)) == (0, 1)
    assert keys_in(tmp_path / "cache") == keys


class OnOneNode(Engine):
    """The engine of a cluster, whose jobs run here."""

    def open(self):
        return nullcontext()

    def map_keeping(self, make, given, jobs, names=None):
        return Engine().map_keeping(make, given, jobs, names)


def test_on_a_cluster_a_first_image_that_is_missing_is_named_like_any_other(request_, tmp_path):
    table = tmp_path / "pictures" / "all.csv"
    rows = [f"train/{name}/{n}.png,{name}" for name in ("red cup", "blue bird") for n in range(3)]
    table.write_text("\n".join(["path,label", *rows]))
    listed = replace(request_, data=str(table))
    first = all_items(listed.dataset())[0].id
    (table.parent / first).unlink()
    done = extract(listed, OnOneNode("ray"))
    assert done.new == 5
    (reason,) = done.unreadable
    assert reason.startswith(first)


def test_equal_images_have_equal_features(request_):
    dataset, cache = request_.dataset(), request_.features()
    items = {item.id: item for item in all_items(dataset)}
    pair = [items["train/red cup/0.png"], items["test/red cup/same.png"]]
    first, second = cache.features(dataset, pair)
    assert first.equal(second)
    assert first.norm().item() == pytest.approx(1.0, abs=1e-5)
    third = cache.features(dataset, [items["train/red cup/1.png"], *pair])
    assert third[1:].equal(cache.features(dataset, pair))


def test_the_command_says_what_was_done(request_, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "other"))
    line = ["data", "encode", request_.data, "--backbone", request_.backbone, "--decoders", "0"]
    assert main(line) == 2
    said = capsys.readouterr()
    assert "20 images of 22 encoded now" in said.out
    assert "1 image cannot be read" in said.err
    Path(request_.data, "test/blue bird/0.png").unlink()
    assert main(line) == 0
    assert "0 images of 21 encoded now" in capsys.readouterr().out
    assert main(["data", "encode"]) == 2


def test_a_name_is_the_set_of_this_name_whatever_folder_is_here(tmp_path, monkeypatch):
    asked = []

    def note(request, engine, progress):
        asked.append(request.data)
        return Extracted(0, 0, ())

    monkeypatch.setattr("mocoop.features.extraction.extract", note)
    for name in ("faces", "dtd", "mine"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("faces", "dtd", "mine", "./faces"):
        assert main(["data", "encode", name]) == 0
    folders = [str(tmp_path / name) for name in ("mine", "faces")]
    assert asked == ["faces", "dtd", *folders]


def test_without_ray_one_sentence_says_how_to_get_it(request_, monkeypatch):
    monkeypatch.setattr("mocoop.storage.ray_cluster.find_spec", lambda name: None)
    with pytest.raises(UserError, match="Ray is not installed"):
        extract(request_, Engine("ray"))
