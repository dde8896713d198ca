"""Benchmark sets in miniature: each real layout, and everything that can be wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mocoop.config import TrainConfig
from mocoop.datasets import BENCHMARKS, BUILTIN, data_root, load_dataset
from mocoop.datasets.base import SPLITS
from mocoop.datasets.benchmarks import TABLE, load_benchmark, missing_files
from mocoop.errors import UserError
from mocoop.prompt_encoder.layout import soft_tokens
from mocoop.protocols.plans import Plan, tasks
from mocoop.training.prepare import prepare
from tests.support.benchmark_files import (
    COOP,
    DATA,
    FLAT,
    NUM_GROUPS,
    SHIFTED,
    WNIDS,
    add,
    add_aircraft,
    add_coop,
    add_imagenet,
    add_shifted,
    add_text,
)


def rows_of(data):
    """Returns split → rows of path and label."""
    return {split: [(i.id, i.label) for i in data.items(split)] for split in SPLITS}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """The data root: an empty folder."""
    monkeypatch.setenv("MOCOOP_DATA", str(tmp_path / "sets"))
    (tmp_path / "sets").mkdir()
    return tmp_path / "sets"


def test_all_sets_are_tested_here():
    assert {*COOP, *SHIFTED, "imagenet", "fgvc_aircraft"} == set(BENCHMARKS)
    assert not set(BENCHMARKS) & set(BUILTIN)


def test_data_root(root, monkeypatch):
    """The variable names the folder, ./data otherwise."""
    assert data_root() == root
    monkeypatch.delenv("MOCOOP_DATA")
    assert data_root() == Path("data")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_folders_are_those_of_the_documents(name):
    page = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
    assert f"| `{TABLE[name].images}/" in row
    assert f"`{TABLE[name].split}`" in row or not TABLE[name].split


@pytest.mark.parametrize("name", COOP)
def test_coop_split_files(root, name):
    """Items, their order, labels and names are the split file's."""
    rows = add_coop(root, name)
    data = load_dataset(name)
    assert data.name == name
    assert data.class_names == ("cat", "sea lion")
    assert rows_of(data) == {s: [(p, n) for p, n, _ in part] for s, part in rows.items()}
    assert data.note == f"CoOp's split, {COOP[name][1].split('/')[1]}"
    assert data.image(data.items("test")[0]).size == (4, 4)
    assert missing_files(data) == []


@pytest.mark.parametrize("name", [name for name in COOP if name not in FLAT])
def test_class_folders_without_a_split_file(root, name):
    """A seeded split by class takes the place of a missing split file, and is named."""
    add_coop(root, name, with_split=False)
    add(root / COOP[name][0], *(f"{c}/{n}.jpg" for c in ("cat", "sea_lion") for n in range(14)))
    data = load_dataset(name)
    assert data.class_names == ("cat", "sea lion")
    counts = [sum(i.label == label for i in data.items(s)) for s in SPLITS for label in (0, 1)]
    assert counts == [10, 10, 4, 4, 6, 6]
    assert rows_of(data) == rows_of(load_dataset(name))
    assert data.note.startswith("no split_zhou_")
    assert "not the published one" in data.note


@pytest.mark.parametrize("name", FLAT)
def test_no_split_can_be_made_of_loose_images(root, name):
    add_coop(root, name, with_split=False)
    with pytest.raises(UserError, match=r"split_zhou_\w+.json: no such file. The images of this"):
        load_dataset(name)


def test_class_folders_get_coops_names(root):
    """Without the split file the classes are those that CoOp has, by its names."""
    folders = ("BACKGROUND_Google", "Faces", "Faces_easy", "Motorbikes", "sea_horse")
    add(root / COOP["caltech101"][0], *(f"{f}/{n}.jpg" for f in folders for n in range(3)))
    assert load_dataset("caltech101").class_names == ("face", "motorbike", "sea horse")
    folders = ("a/abbey", "a/apartment_building/outdoor", "b/bar")
    add(root / COOP["sun397"][0], *(f"{f}/{n}.jpg" for f in folders for n in range(3)))
    assert load_dataset("sun397").class_names == ("abbey", "outdoor apartment building", "bar")


def test_class_folders_that_are_empty(root):
    (root / "dtd/images").mkdir(parents=True)
    with pytest.raises(UserError, match=r"images has no class folder\. Expected dtd/images/ "):
        load_dataset("dtd")
    (root / "dtd/images/banded").mkdir()
    with pytest.raises(UserError, match=r"banded has no image\. Extract the archive again"):
        load_dataset("dtd")


def test_class_folders_that_clash(root):
    add(root / "dtd/images", "black_dots/1.jpg", "black dots/1.jpg", "lined/1.jpg")
    with pytest.raises(UserError, match=r"two folders of the class 'black dots'\. Keep one"):
        load_dataset("dtd")


def test_aircraft(root):
    """Classes are in the order of variants.txt, items in that of the lists."""
    add_aircraft(root)
    data = load_dataset("fgvc_aircraft")
    assert data.class_names == ("Boeing 707-320", "F/A-18")
    assert rows_of(data) == {
        "train": [("0000002.jpg", 1), ("0000001.jpg", 0)],
        "val": [("0000003.jpg", 0)],
        "test": [("0000004.jpg", 1), ("0000005.jpg", 0)],
    }
    assert data.image(data.items("val")[0]).mode == "RGB"


def test_imagenet(root):
    """Validation and test images are the same; classes may share a name, as published."""
    add_imagenet(root)
    data = load_dataset("imagenet")
    assert data.class_names == ("tench", "missile", "missile")
    assert rows_of(data)["train"][:3] == [
        ("train/n01440764/a.JPEG", 0),
        ("train/n01440764/b.JPEG", 0),
        ("train/n03773504/a.JPEG", 1),
    ]
    assert data.items("val") == data.items("test")
    assert data.items("val")[2].id == "val/n04008634/ILSVRC2012_val_00000001.JPEG"
    assert "validation and test images, as in CoOp" in data.note


@pytest.mark.parametrize("name", SHIFTED)
def test_shifted_imagenets(root, name):
    """They have test images alone, and ImageNet's names and templates."""
    add_shifted(root, name)
    data = load_dataset(name)
    assert data.name == name
    assert data.class_names == ("tench", "missile", "missile")
    assert [item.label for item in data.items("test")] == [0, 1, 2]
    assert data.items("train") == data.items("val") == ()
    add_imagenet(root)
    assert data.templates == load_dataset("imagenet").templates


def test_sets_without_training_images(root):
    """They can be tested on, and are refused with that where something is to be trained."""
    add_shifted(root, "imagenet_a")
    add_imagenet(root)
    message = "imagenet_a has no training images: it is for testing only"
    with pytest.raises(UserError, match=message):
        prepare(TrainConfig(data="imagenet_a"))
    with pytest.raises(UserError, match=message):
        tasks(Plan("few-shot", ("imagenet_a",), ("mocoop",)))
    across = Plan(
        "domain-generalization", ("imagenet",), ("mocoop",), (1,), targets=("imagenet_a",)
    )
    assert {task.targets for task in tasks(across)} == {("imagenet_a",)}


@pytest.mark.parametrize("name", ["imagenet_a", "imagenet_r"])
def test_sets_of_200_classes(root, name):
    """They take their classes from a longer list, in its order; 199 are half a set."""
    wnids = [f"n{number:08}" for number in range(250)]
    add_shifted(root, name, reversed(wnids[50:249]))
    add_text(root, "imagenet/classnames.txt", "".join(f"{w} class {w}\n" for w in wnids))
    with pytest.raises(UserError, match=r"has 199 class folders; expected 200\. Extract"):
        load_dataset(name)
    add_shifted(root, name, wnids[249:])
    add_text(root, "imagenet/classnames.txt", "".join(f"{w} class {w}\n" for w in wnids))
    assert load_dataset(name).class_names == tuple(f"class {w}" for w in wnids[50:])


def test_own_list_of_classes(root):
    """A classnames.txt in the set's own folder comes first."""
    add_shifted(root, "imagenet_a", WNIDS[:2])
    add_text(root, "imagenet-adversarial/classnames.txt", "n01440764 fish\nn03773504 rocket\n")
    assert load_dataset("imagenet_a").class_names == ("fish", "rocket")


def test_strange_class_folder(root):
    add_shifted(root, "imagenet_sketch", (*WNIDS, "n09999999"))
    with pytest.raises(UserError, match="a folder n09999999, which is not in classnames"):
        load_dataset("imagenet_sketch")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_missing_root(root, name):
    """A set that is not there is reported with the folder, the layout and the built-in sets."""
    folder = TABLE[name].images
    expected = rf"{root}/{folder}: no such folder. The benchmark set {name} is expected below "
    with pytest.raises(UserError, match=expected) as error:
        load_dataset(name)
    for words in ("MOCOOP_DATA", TABLE[name].layout, "pictographs", "need no files"):
        assert words in str(error.value)


def test_half_extracted(root):
    """The first image of each class is looked for at once, all of them when asked."""
    rows = add_coop(root, "dtd")
    images = root / "dtd/images"
    (images / rows["test"][0][0]).unlink()
    assert missing_files(load_dataset("dtd")) == [rows["test"][0][0]]
    for path, label, _ in rows["train"]:
        if label == 0:
            (images / path).unlink()
    message = r"images is incomplete: 3 listed images are missing, the first is cat/0a.jpg"
    with pytest.raises(UserError, match=message):
        load_dataset("dtd")


@pytest.mark.parametrize("folder", ["train/n03773504", "val/n04008634"])
def test_half_extracted_imagenet(root, folder):
    add_imagenet(root)
    for file in (root / "imagenet/images" / folder).iterdir():
        file.unlink()
    with pytest.raises(
        UserError, match=rf"incomplete: {folder} has no images. 1 of 3 class folders"
    ):
        load_dataset("imagenet")
    (root / "imagenet/images" / folder).rmdir()
    with pytest.raises(UserError, match="1 of 3 class folders are missing or empty"):
        load_dataset("imagenet")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("variants.txt", "A\nB\n\nA\n", r"variants.txt, line 4: expected a variant not .*'A'"),
        ("images_variant_val.txt", "0000003\n", "val.txt, line 1: expected an image's number"),
        ("images_variant_test.txt", "\n0000004 Ufo\n", "test.txt, line 2: .* got '0000004 Ufo'"),
        ("images_variant_train.txt", "a.jpg F/A-18\n", "train.txt, line 1: .*'a.jpg F/A-18'"),
    ],
)
def test_malformed_aircraft(root, file, text, message):
    add_text(add_aircraft(root), file, text)
    with pytest.raises(UserError, match=message):
        load_dataset("fgvc_aircraft")


@pytest.mark.parametrize(
    "line", ["n0144 tench", "n01440765", "n01440764 again", "tench n01440765"]
)
def test_malformed_classnames(root, line):
    add_imagenet(root)
    add_text(root, "imagenet/classnames.txt", f"n01440764 tench\n{line}\n")
    with pytest.raises(UserError, match=rf"classnames.txt, line 2: expected a new id.*'{line}'"):
        load_dataset("imagenet")


def test_lists_that_cannot_be_read(root):
    add_imagenet(root)
    (root / "imagenet/classnames.txt").write_bytes(b"n01440764 \xff\xfe\n")
    with pytest.raises(UserError, match=r"classnames.txt cannot be read .*Get the file again"):
        load_dataset("imagenet")
    (root / "imagenet/classnames.txt").unlink()
    with pytest.raises(UserError, match=r"classnames.txt: no such file\. It is part of the data"):
        load_dataset("imagenet")


def test_malformed_split_files(root):
    add_coop(root, "eurosat")
    add_text(root, COOP["eurosat"][1], '{"train": [\n[')
    with pytest.raises(UserError, match=r"EuroSAT.json is not a split file of CoOp .*line 2"):
        load_dataset("eurosat")


def test_unknown_names(root):
    with pytest.raises(UserError, match=r"Unknown benchmark set 'dts'.*Did you mean 'dtd'"):
        load_benchmark("dts", root)
    with pytest.raises(UserError, match=r"Unknown data set 'oxford_pet'.*mean 'oxford_pets'"):
        load_dataset("oxford_pet")


def test_a_folder_of_that_name_is_given_as_a_path(root, tmp_path, monkeypatch):
    """With a separator a path stays a path; the name alone is the benchmark, for a run too."""
    monkeypatch.chdir(tmp_path)
    add_coop(root, "dtd")
    add(tmp_path / "dtd", *(f"{c}/{n}.png" for c in ("ant", "bee") for n in range(4)))
    assert load_dataset("./dtd").class_names == ("ant", "bee")
    assert load_dataset("dtd").class_names == ("cat", "sea lion")
    prepared = prepare(TrainConfig(data="dtd", shots=2))
    assert prepared.config.data == "dtd"
    assert next(iter(prepared.groups)) == "texture"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_templates(root, name, tiny_backbone):
    """Every set has its own groups, each of which can start an expert."""
    if name in COOP:
        add_coop(root, name)
    elif name in SHIFTED:
        add_shifted(root, name)
    else:
        add_aircraft(root)
        add_imagenet(root)
    templates = load_dataset(name).templates
    every = [t for group in templates.groups.values() for t in group]
    usual = 20 if name.startswith("imagenet") else 5
    assert len(templates.groups) == NUM_GROUPS.get(name, usual)
    assert len(set(every)) == len(every)
    for template in (templates.zero_shot, *every):
        soft_tokens(tiny_backbone.text.tokens, template)


@pytest.mark.parametrize("name", COOP)
def test_real_split_files(root, name):
    """The published counts, and the first and last names, are those of the official files."""
    images, split = COOP[name]
    found = sorted(DATA.glob(f"*/{Path(split).name}"))
    if not found:
        pytest.skip("no such split file on this machine")
    rows = json.loads(found[0].read_text())
    first = {}
    for path, label, _ in (row for split_rows in rows.values() for row in split_rows):
        first.setdefault(label, path)
    add(root / images, *first.values())
    add_text(root, split, found[0].read_text())
    data = load_dataset(name)
    published = data.published
    assert len(data.class_names) == published.classes
    assert {s: len(data.items(s)) for s in SPLITS} == {s: getattr(published, s) for s in SPLITS}
    names = {label: class_name for _, label, class_name in rows["train"]}
    assert data.class_names == tuple(names[n].replace("_", " ") for n in range(len(names)))
    renamed = TABLE[name].renamed
    folders = {path.split("/")[0]: class_name for path, _, class_name in rows["train"]}
    assert renamed == {f: folders[f] for f in renamed}


def test_real_imagenet_names(root):
    """All 1,000 official names are read, the two repeated ones included."""
    file = DATA / "splits" / "imagenet_classnames.txt"
    if not file.is_file():
        pytest.skip("no list of ImageNet's names on this machine")
    add_text(root, "imagenetv2/classnames.txt", file.read_text())
    add(root / SHIFTED["imagenetv2"], *(f"{label}/x.jpeg" for label in range(1000)))
    data = load_dataset("imagenetv2")
    assert len(data.class_names) == 1000
    assert len(set(data.class_names)) == 998
    assert [item.label for item in data.items("test")] == list(range(1000))
    assert data.class_names[0] == "tench"


def test_real_caltech(monkeypatch):
    """The real images: all that the split file lists, readable."""
    if not (DATA / COOP["caltech101"][0]).is_dir():
        pytest.skip("no Caltech101 on this machine")
    data = load_benchmark("caltech101", DATA)
    assert missing_files(data) == []
    assert (data.class_names[:2], len(data.class_names)) == (("face", "leopard"), 100)
    assert min(data.image(data.items("test")[0]).size) > 50
