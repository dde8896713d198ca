"""Checking whole sets: what is missing, unreadable, twice, or not as published."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from mocoop.catalog.check import check
from mocoop.catalog.contact_sheet import contact_sheet
from mocoop.catalog.download import source_of
from mocoop.catalog.inventory import find, inventory
from mocoop.catalog.sources import SOURCES
from mocoop.cli.main import main
from mocoop.datasets import BENCHMARKS, BUILTIN, load_dataset
from mocoop.datasets.skip_list import SKIP_FILE
from mocoop.errors import UserError
from tests.support.benchmark_files import DATA, add_coop, add_imagenet, add_shifted
from tests.support.image_files import add_files, picture_bytes


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """A folder of two classes with their own splits; the cache is the test's own."""
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    for split, count in (("train", 4), ("val", 2), ("test", 3)):
        add_files(tmp_path / "pets", *(f"{split}/{c}/{n}.png" for c in ("cat", "dog")
                                       for n in range(count)))  # fmt: skip
    return tmp_path / "pets"


def run(capsys, *arguments):
    """Runs `mocoop data ...` and returns code, output and error output."""
    code = main(["data", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_clean_set(pets, capsys):
    code, out, _ = run(capsys, "check", pets)
    assert code == 0
    assert "clean: every image exists and can be read" in out
    assert "your own split" in out
    code, out, _ = run(capsys, "check", pets, "--json")
    report = json.loads(out)
    assert report["clean"] is True
    counts = {"train": 4, "val": 2, "test": 3}
    assert report["per_class"] == dict.fromkeys(("cat", "dog"), counts)


def test_what_is_wrong_is_named_and_can_be_left_out(pets, capsys):
    """Missing, damaged and truncated files, and a picture in training and test."""
    (pets / "train/cat/0.png").write_text("no picture")
    data = (pets / "test/dog/1.png").read_bytes()
    (pets / "test/dog/1.png").write_bytes(data[: len(data) // 2])
    (pets / "val/cat/9.png").symlink_to(pets / "nowhere.png")
    shutil.copy(pets / "train/dog/2.png", pets / "test/dog/copy.png")
    code, out, err = run(capsys, "check", pets)
    assert code == 2
    assert "pets has problems, see above. Replace 3 images that are missing" in err
    assert "or skip them with --skip" in err
    assert "missing: 1\n    val/cat/9.png" in out
    assert "cannot be read: 2\n    test/dog/1.png: " in out or "train/cat/0.png: " in out
    assert "same image in training and test: 1\n    train/dog/2.png = test/dog/copy.png" in out
    code, out, err = run(capsys, "check", pets, "--skip")
    assert code == 0
    assert "3 images are skipped from now on" in out
    listed = (pets / SKIP_FILE).read_text()
    assert '{"image": "val/cat/9.png", "reason": "no such file"}' in listed
    assert run(capsys, "check", pets)[0] == 0
    assert load_dataset(str(pets)).left_out == 3


def test_every_split_and_class_is_counted_without_workers(pets, tmp_path):
    seen = []
    report = check(load_dataset(str(pets)), tmp_path / "c", 0, lambda *call: seen.append(call))
    assert {c.what: c.found for c in report.counts} == {
        "classes": 2,
        "train": 8,
        "val": 4,
        "test": 6,
    }
    assert seen[-1] == (18, 18)
    assert report.clean


@pytest.mark.long
def test_a_built_in_set_is_clean(tmp_path):
    assert check(load_dataset("digits"), tmp_path, 0).clean


def test_a_miniature_is_not_the_published_set(tmp_path, monkeypatch, capsys):
    """Counts are compared with the published ones; missing files are listed."""
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "sets"
    rows = add_coop(root, "dtd")
    for path, label, _ in rows["train"]:
        if label == 0:
            (root / "dtd/images" / path).unlink()
    code, out, err = run(capsys, "check", "dtd", "--root", root)
    assert code == 2
    assert "classes          2  (published: 47)" in out
    assert "missing: 2\n    cat/0a.jpg\n    cat/0b.jpg" in out
    assert "dtd has problems, see above" in err


def test_imagenets_validation_images_are_no_duplicates(tmp_path):
    add_imagenet(tmp_path)
    report = check(load_dataset("imagenet", tmp_path), tmp_path / "c", 0)
    assert set(report.per_class) == {"tench", "missile (1)", "missile (2)"}
    assert not any("val/" in trained for trained, _ in report.duplicates)


@pytest.mark.long
def test_caltech_is_clean(monkeypatch, tmp_path, capsys):
    """The real images with the official split; one file fewer is named."""
    if not (DATA / "caltech-101/101_ObjectCategories").is_dir():
        pytest.skip("no Caltech101 on this machine")
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    code, out, _ = run(capsys, "check", "caltech101", "--root", DATA)
    assert code == 0
    for words in ("4,128  (as published)", "1,649  (as published)", "2,465  (as published)"):
        assert words in out
    copy = tmp_path / "caltech-101"
    images = DATA / "caltech-101/101_ObjectCategories"
    (copy / "101_ObjectCategories").mkdir(parents=True)
    for folder in images.iterdir():
        target = copy / "101_ObjectCategories" / folder.name
        if folder.name != "yin_yang":
            target.symlink_to(folder)
        elif folder.is_dir():
            shutil.copytree(folder, target)
            next(iter(sorted(target.iterdir()))).unlink()
    shutil.copy(DATA / "caltech-101/split_zhou_Caltech101.json", copy)
    code, out, _ = run(capsys, "check", "caltech101", "--root", tmp_path)
    assert code == 2
    assert "missing: 1\n    yin_yang/image_0001.jpg" in out


def test_inventory(tmp_path):
    """Every set with its state, and the step that gets it."""
    add_coop(tmp_path, "dtd")
    rows = add_coop(tmp_path, "eurosat")
    for path, *_ in rows["train"]:
        (tmp_path / "eurosat/2750" / path).unlink()
    add_shifted(tmp_path, "imagenet_sketch")
    found = {one.name: one for one in inventory(tmp_path)}
    assert set(found) == {*BUILTIN, *BENCHMARKS}
    assert found["details"].state == "built in"
    assert found["dtd"].words == "2 classes; 4 train, 2 val, 6 test; " + (
        "CoOp's split, split_zhou_DescribableTextures.json"
    )
    assert found["eurosat"].state == "broken"
    assert "is incomplete" in found["eurosat"].words
    assert found["imagenet_sketch"].state == "ready"
    assert (found["food101"].state, found["food101"].next_step) == (
        "missing",
        "mocoop data download food101",
    )
    assert "sign in at" in find("imagenet", tmp_path / "none").next_step


def test_a_set_without_a_known_address_says_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.delitem(SOURCES, "dtd")
    assert find("dtd", tmp_path).next_step.startswith("put it below the data root as dtd/images/")
    with pytest.raises(UserError, match=r"No address of dtd is known.* as dtd/images/ \(images\)"):
        source_of("dtd")


def test_the_list_command(tmp_path, capsys):
    code, out, _ = run(capsys, "list", "--root", tmp_path, "--json")
    assert code == 0
    rows = json.loads(out)
    assert [row["name"] for row in rows[:4]] == list(BUILTIN[:4])
    assert run(capsys, "list", "--root", tmp_path)[1].count("missing") == len(BENCHMARKS)


def test_show_describes_and_draws(capsys, tmp_path):
    sheet = tmp_path / "details.png"
    code, out, _ = run(capsys, "show", "details", "--sheet", sheet)
    assert code == 0
    assert "guitar" in out
    with Image.open(sheet) as picture:
        assert picture.width == 11 * 96
        assert len(picture.getcolors(10**6)) > 1000
    described = json.loads(run(capsys, "show", "digits", "--json")[1])
    assert described["splits"] == {"train": 360, "val": 90, "test": 540}
    assert described["zero_shot"] == "a photo of a {}."


def test_contact_sheets_of_any_set(pets):
    data = load_dataset(str(pets))
    assert contact_sheet(data, columns=3, rows=1).size == (288, 118)
    assert contact_sheet(data, "test").size == (11 * 96, 2 * 118)
    with pytest.raises(UserError, match="has no train image to show"):
        contact_sheet(replace(data, splits={**data.splits, "train": ()}), "train")


def test_the_groups_command_keeps_what_no_group_betters(pets, capsys, workspace):
    """On images that are all the same, every group would take all of them: the old ones stay."""
    same = picture_bytes("same")
    for path in pets.rglob("*.png"):
        path.write_bytes(same)
    before = load_dataset(str(pets)).templates.groups
    code, out, err = run(capsys, "groups", pets, "--count", "3", "--write")
    assert code == 0
    assert "No second group helps" in out
    assert "was trained only on its own drawings" in err
    assert load_dataset(str(pets)).templates.groups == before
    code, _, err = run(capsys, "groups", "details", "--write")
    assert (code, "is built in" in err) == (2, True)
