"""Folders of images as data sets: both layouts, and everything that can be wrong."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from mocoop.datasets import load_dataset
from mocoop.errors import UserError


def add_images(folder, count, suffix=".png"):
    """Writes small pictures, each of its own colour, into a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        colour = hashlib.sha256(f"{folder} {number}".encode()).digest()[:3]
        pixels = np.full((6, 5, 3), list(colour), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}{suffix}")


@pytest.fixture
def flat(tmp_path):
    """A folder of three classes without splits."""
    root = tmp_path / "pets"
    for name, count in (("dog", 10), ("black_cat", 20), ("Emu", 4)):
        add_images(root / name, count)
    return root


@pytest.fixture
def split(tmp_path):
    """A folder with train/, val/ and test/ of two classes."""
    root = tmp_path / "split"
    for part, count in (("train", 10), ("val", 2), ("test", 4)):
        for name in ("cat", "dog"):
            add_images(root / part / name, count)
    return root


def counts(data):
    """Returns how many items each split has of each class."""
    labels = range(len(data.class_names))
    return {
        s: [sum(i.label == c for i in items) for c in labels] for s, items in data.splits.items()
    }


def ids(data):
    """Returns all ids, split by split."""
    return [item.id for items in data.splits.values() for item in items]


def test_flat_layout(flat):
    """Classes are sorted by folder name, and split class by class by a fixed seed."""
    data = load_dataset(str(flat))
    assert data.name == "pets"
    assert data.class_names == ("Emu", "black cat", "dog")
    assert counts(data) == {"train": [2, 10, 5], "val": [1, 4, 2], "test": [1, 6, 3]}
    assert len(set(ids(data))) == 34
    assert ids(data) == ids(load_dataset(str(flat)))
    assert data.styles == ()
    assert "photo" in data.templates.groups


def test_split_layout(split):
    """With train/, val/ and test/ those are the splits."""
    data = load_dataset(str(split))
    assert data.class_names == ("cat", "dog")
    assert counts(data) == {"train": [10, 10], "val": [2, 2], "test": [4, 4]}
    assert all(item.id.startswith(f"{s}/") for s, items in data.splits.items() for item in items)


def test_missing_val_is_taken_from_train(split):
    """Without val/ a seeded fifth of the training images takes its place, once."""
    for folder in (split / "val").iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    (split / "val").rmdir()
    data = load_dataset(str(split))
    assert counts(data) == {"train": [8, 8], "val": [2, 2], "test": [4, 4]}
    assert len(set(ids(data))) == 28
    assert all(item.id.startswith("train/") for item in data.splits["val"])


def test_missing_training_images(tmp_path):
    for name in ("cat", "dog"):
        add_images(tmp_path / "test" / name, 2)
    with pytest.raises(UserError, match=r"has test/ but no train/\. Add it, or"):
        load_dataset(str(tmp_path))


def test_without_test_images_those_of_validation_are_tested_on(tmp_path):
    """They are then used for nothing else."""
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            add_images(tmp_path / part / name, 5)
    data = load_dataset(str(tmp_path))
    assert counts(data) == {"train": [4, 4], "val": [1, 1], "test": [5, 5]}
    assert all(item.id.startswith("val/") for item in data.items("test"))
    assert "no test images: the validation images are tested on" in data.note


@pytest.mark.parametrize("part", ["val", "test"])
def test_splits_with_other_classes(split, part):
    """A class that only one split has is refused by its name."""
    add_images(split / part / "emu", 2)
    with pytest.raises(UserError, match=rf"{part}/ and train/ must have the same.*'emu' is only"):
        load_dataset(str(split))


def test_empty_class(flat):
    """A class folder without an image is refused by its path."""
    (flat / "ant").mkdir()
    (flat / "ant" / "notes.txt").write_text("no picture")
    with pytest.raises(UserError, match=r"Class folder .*ant has no image.*add some or remove"):
        load_dataset(str(flat))


def test_empty_class_in_a_split(split):
    """An empty class in a split is refused too."""
    (split / "val" / "ant").mkdir()
    with pytest.raises(UserError, match="ant has no image"):
        load_dataset(str(split))


def test_empty_folder(tmp_path):
    """A folder without class folders is refused, loose images or not."""
    with pytest.raises(UserError, match=r"has no class folder\. Expected one folder per class"):
        load_dataset(str(tmp_path))
    add_images(tmp_path, 3)
    with pytest.raises(UserError, match="has no class folder"):
        load_dataset(str(tmp_path))


def test_one_class(tmp_path):
    """One class is nothing to tell apart."""
    add_images(tmp_path / "cat", 3)
    with pytest.raises(UserError, match="at least two classes, got 1"):
        load_dataset(str(tmp_path))


@pytest.mark.parametrize("other", ["black cat", "Black_Cat"])
def test_name_clash(flat, other):
    """Two folders whose names a prompt could not tell apart are refused."""
    add_images(flat / other, 2)
    with pytest.raises(UserError, match="Two classes have the same name 'black cat'"):
        load_dataset(str(flat))


def test_a_file_is_no_data_set(flat):
    """A path to one image is refused."""
    with pytest.raises(UserError, match="Expected a folder of class folders"):
        load_dataset(str(flat / "dog" / "00.png"))


def test_nested_folders_belong_to_the_class(flat):
    """Images in folders below a class folder are the class's."""
    add_images(flat / "dog" / "puppies" / "small", 10)
    data = load_dataset(str(flat))
    assert sum(counts(data)[s][2] for s in counts(data)) == 20
    assert any(item.id.startswith("dog/puppies/small/") for items in data.splits.values()
               for item in items)  # fmt: skip


def test_hidden_and_other_files_are_left_out(flat):
    """Hidden files and folders, folders that look like files, and other files do not count."""
    before = ids(load_dataset(str(flat)))
    add_images(flat / ".cache", 2)
    add_images(flat / "dog" / ".thumbnails", 2)
    (flat / "dog" / "._00.png").write_bytes(b"\x00\x05\x16\x07")
    (flat / "dog" / ".hidden.jpg").write_bytes(b"")
    (flat / "dog" / "Thumbs.db").write_bytes(b"x")
    (flat / "dog" / "folder.jpg").mkdir()
    (flat / "readme.txt").write_text("about")
    assert ids(load_dataset(str(flat))) == before


def test_a_hidden_root_is_fine(tmp_path):
    """Only what is hidden inside the data set is left out, not a set in a hidden place."""
    for name in ("cat", "dog"):
        add_images(tmp_path / ".data" / "set" / name, 2)
    assert len(ids(load_dataset(str(tmp_path / ".data" / "set")))) == 4


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".PNG", ".bmp", ".gif", ".tiff", ".webp"])
def test_suffixes(tmp_path, suffix):
    """All usual kinds of image file are found, in capitals too."""
    for name in ("cat", "dog"):
        add_images(tmp_path / name, 2, suffix)
    data = load_dataset(str(tmp_path))
    assert len(ids(data)) == 4
    assert data.image(data.items("train")[0]).mode == "RGB"


def test_content_key_follows_the_bytes(flat):
    """The key is the file's content: copies share it, and a changed file changes it."""
    data = load_dataset(str(flat))
    item = data.items("train")[0]
    path = flat / item.id
    key = data.content_key(item)
    assert key == hashlib.sha256(path.read_bytes()).hexdigest()
    add_images(flat / "new", 1)
    path.write_bytes((flat / "new" / "00.png").read_bytes())
    assert data.content_key(item) != key


def test_damaged_image_is_named(flat):
    """A damaged file is reported with its path when it is read."""
    data = load_dataset(str(flat))
    item = data.items("train")[0]
    (flat / item.id).write_bytes(b"not a picture")
    with pytest.raises(UserError, match=rf"{item.id}: this file is not a readable image"):
        data.image(item)
