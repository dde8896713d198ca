"""Folders with CoOp's split files: items, labels and names are the file's."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from mocoop.datasets import dataset_name, load_dataset
from mocoop.errors import UserError

OWL = "barn_owl"
SPLIT = {
    "train": [["owls/2.jpg", 1, OWL], ["cats/1.jpg", 0, "cat"], ["owls/1.jpg", 1, OWL]],
    "val": [["cats/3.jpg", 0, "cat"]],
    "test": [["cats/2.jpg", 0, "cat"]],
}  # fmt: skip


def folder(tmp_path, split=SPLIT, inside="images"):
    """Makes a benchmark's folder: a split file, and the pictures in a folder beside it."""
    for path in ("owls/1.jpg", "owls/2.jpg", "cats/1.jpg", "cats/2.jpg", "cats/3.jpg"):
        file = tmp_path / inside / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (len(path), 20, 30)).save(file)
    (tmp_path / "split_zhou_Pets.json").write_text(json.dumps(split))
    return str(tmp_path)


@pytest.mark.parametrize("inside", ["images", "."])
def test_order_and_labels_are_those_of_the_file(tmp_path, inside):
    data = load_dataset(folder(tmp_path, inside=inside))
    assert data.class_names == ("cat", "barn owl")
    assert [(i.id, i.label) for i in data.items("train")] == [(p, n) for p, n, _ in SPLIT["train"]]
    assert data.image(data.items("test")[0]).size == (8, 8)
    assert len(data.content_key(data.items("val")[0])) == 64


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"train": []}, "lists no training image"),
        ({"train": SPLIT["train"]}, "lists no test image"),
        ([1], "not a split file of CoOp"),
        (SPLIT | {"train": [["a.jpg", 0]]}, "rows of path, label and class name"),
        (SPLIT | {"train": []}, "lists no training image"),
        (SPLIT | {"val": [["cats/3.jpg", 0, "lion"]]}, "calls label 0 both 'cat' and 'lion'"),
        (SPLIT | {"train": [["owls/1.jpg", 4, "owl"]]}, "skips labels: expected 0 to 1"),
        (SPLIT | {"train": [["far/1.jpg", 1, "barn_owl"]]}, "Extract the images beside the split"),
    ],
)
def test_damaged_files_are_reported(tmp_path, split, message):
    with pytest.raises(UserError, match=message):
        load_dataset(folder(tmp_path, split))


def test_two_split_files_are_one_too_many(tmp_path):
    path = folder(tmp_path)
    (tmp_path / "split_zhou_Other.json").write_text("{}")
    with pytest.raises(UserError, match="has 2 split files"):
        load_dataset(path)


@pytest.mark.parametrize("val", ["missing", []])
def test_without_validation_images_a_fifth_of_training_is_taken(tmp_path, val):
    rows = [[f"cats/{n}.jpg", 0, "cat"] for n in range(10)]
    rows += [[f"owls/{n}.jpg", 1, OWL] for n in range(10)]
    split = {"train": rows, "test": SPLIT["test"]} | ({} if val == "missing" else {"val": val})
    path = folder(tmp_path, split)
    Image.new("RGB", (8, 8)).save(tmp_path / "images/cats/0.jpg")
    data = load_dataset(path)
    assert [len(data.items(s)) for s in ("train", "val", "test")] == [16, 4, 1]
    assert "validation: a fifth of train" in data.note


def test_the_file_itself_is_a_data_set_too(tmp_path):
    path = folder(tmp_path)
    by_folder, by_file = load_dataset(path), load_dataset(f"{path}/split_zhou_Pets.json")
    assert by_file.splits == by_folder.splits
    assert by_file.name == by_folder.name == dataset_name(f"{path}/split_zhou_Pets.json")
    assert (
        "read as the split file split_zhou_Pets.json: 2 classes; 3 train, 1 val"
        in (by_file.remarks[0])
    )


def test_paths_of_other_systems(tmp_path):
    rows = [["owls\\2.jpg", 1, OWL], ["./cats/1.jpg", 0, "cat"]]
    path = folder(tmp_path, SPLIT | {"train": rows})
    (tmp_path / "split_zhou_Pets.json").write_text(
        "\ufeff" + json.dumps(SPLIT | {"train": rows}), encoding="utf-8"
    )
    assert [item.id for item in load_dataset(path).items("train")] == ["owls/2.jpg", "cats/1.jpg"]
