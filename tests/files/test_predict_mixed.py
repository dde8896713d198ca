"""The command predict on a folder of 1,000 mixed files: every file is accounted for."""

from __future__ import annotations

import csv
import inspect
import json
import os
import random
import sys

import pytest

from mocoop.cli.main import main
from mocoop.evaluation import given_files
from mocoop.evaluation.given_files import DEAD_LINK, HIDDEN, LOOP, NOT_UTF8, SPECIAL, find_files
from mocoop.presets import settings_from
from mocoop.storage.picture_kinds import NO_PICTURE
from mocoop.training.experiment import run_experiment
from tests.files.pictures import NO_PICTURES, READ, blocks, deep, encoded, huge_header
from tests.support.tiny_data import picture_folder, tiny_checkpoint

FILES = 1000
BROKEN = {
    "cut.jpg": encoded(blocks(), "JPEG", quality=95)[:300],
    "cut.png": encoded(blocks(), "PNG")[:60],
    "cut": encoded(blocks(), "PNG")[:60],
    "text.jpg": b"not a picture at all",
    "empty.png": b"",
    "wide.png": huge_header(60_000, 60_000),
    "noise.webp": b"RIFF\x20\0\0\0WEBPVP8 " + bytes(range(40)),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The path of a finished run of the tiny CLIP."""
    root = tmp_path_factory.mktemp("mixed")
    values = {"data": picture_folder(root / "data"), "backbone": tiny_checkpoint(root / "clip")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOCOOP_CACHE", str(root / "cache"))
        more = {"method": "coop", "shots": 2, "epochs": 1, "augment": "none"}
        list(run_experiment(settings_from(values | more), root / "run"))
    return str(root / "run")


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def mixed(root):
    """Writes 1,000 files; returns path → what must come out: "", "not read" or a reason."""
    generator = random.Random(4)
    good = {name: make() for name, make in READ.items()} | {"deep.png": deep(4095)}
    expected = {}
    special = root / "links"
    special.mkdir(parents=True)
    for name, target in (
        ("to a picture.jpg", root / "real.jpg"),
        ("to nothing.jpg", root / "none.jpg"),
        ("to nothing", root / "none"),
        ("to itself", special / "to itself"),
        ("above", root),
        ("to a folder", root / "deep"),
    ):
        (special / name).symlink_to(target)
    os.mkfifo(special / "pipe.jpg")
    write(root / "real.jpg", good["photo.jfif"])
    write(root / "deep" / "inside.png", good["photo"])
    write(root / "deep" / "inside.txt", b"text")
    expected = {
        "links/to a picture.jpg": "",
        "links/to nothing.jpg": DEAD_LINK,
        "links/to nothing": DEAD_LINK,
        "links/to itself": DEAD_LINK,
        "links/above": LOOP,
        "links/to a folder/inside.png": "",
        "links/to a folder/inside.txt": NO_PICTURE,
        "links/pipe.jpg": SPECIAL,
        "real.jpg": "",
        "deep/inside.png": "",
        "deep/inside.txt": NO_PICTURE,
    }
    nested = "/".join(["n"] * 60)
    odd = {
        ".hidden.jpg": HIDDEN,
        "Thumbs.db": HIDDEN,
        "__MACOSX/._photo.jpg": HIDDEN,
        ".git/objects/a.png": HIDDEN,
        f"{nested}/photo.jpg": "",
        f"{nested}/.DS_Store": HIDDEN,
    }
    for path, reason in odd.items():
        write(root / path, good["photo.jfif"])
        expected[path] = reason
    # A name that is not UTF-8 is shown with \x escapes.
    write(root / os.fsdecode(b"caf\xe9.jpg"), good["photo.jfif"])
    expected["caf\\xe9.jpg"] = NOT_UTF8
    for number in range(FILES - len(expected)):
        kind = generator.choices((good, BROKEN, NO_PICTURES), (6, 2, 2))[0]
        name = generator.choice(sorted(kind))
        stem, dot, suffix = name.partition(".")
        folder = generator.choice(("", "a/", "a/b/", "ä b/", "=c/"))
        path = f"{folder}{stem}-{number}{dot}{suffix}"
        write(root / path, kind[name])
        reason = "not read" if kind is BROKEN else "" if kind is good else NO_PICTURE
        expected[path] = reason
    assert len(expected) == FILES
    return expected


def found_by_the_system(root):
    """Returns how many files, links and pipes there are, not counting those behind links."""
    return sum(
        len(names) + sum(os.path.islink(os.path.join(path, name)) for name in folders)
        for path, folders, names in os.walk(root)
    )


@pytest.mark.long
def test_every_file_is_accounted_for(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "mixed"
    expected = mixed(root)
    # The link to a folder counts once for the system, and as its two files here.
    assert found_by_the_system(root) == FILES - 1
    assert main(["predict", run, str(root), "--json"]) == 2
    out, err = capsys.readouterr()
    answer = json.loads(out)
    found = dict.fromkeys((image["image"] for image in answer["images"]), "")
    found |= dict.fromkeys(answer["unreadable"], "not read") | answer["left_aside"]
    counts = [len(answer[key]) for key in ("images", "unreadable", "left_aside")]
    assert sum(counts) == FILES
    assert {os.path.relpath(path, root): reason for path, reason in found.items()} == expected
    assert all(0.99 < sum(image["probabilities"].values()) < 1.01 for image in answer["images"])
    assert f"left aside: {counts[2]} files (not a picture that MoCoOp reads: " in err
    assert f"{counts[1]} of {counts[0] + counts[1]} images could not be read" in err
    for reason in answer["unreadable"].values():
        assert reason.endswith(".")
    table = tmp_path / "table.csv"
    assert main(["predict", run, str(root), "--csv", str(table)]) == 2
    out, _ = capsys.readouterr()
    assert f"{FILES:,} files: {counts[0]} classified, {counts[1]} not read, {counts[2]}" in out
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert len(rows) == FILES
    assert {row["file"] for row in rows} == set(found)
    notes = {row["file"]: row["notes"] for row in rows if not row["label"]}
    assert len(notes) == counts[1] + counts[2]
    assert all(note.startswith(("not read: ", "left aside: ")) for note in notes.values())


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    write(tmp_path / "a" / "1.png", encoded(blocks(), "PNG"))
    write(tmp_path / "b" / "2.png", encoded(blocks(), "PNG"))
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(given_files.os, "scandir", refuse)
    found = find_files([tmp_path])
    assert found.pictures == (tmp_path / "a" / "1.png",)
    assert found.aside == {str(tmp_path / "b"): "the folder cannot be opened (Permission denied)"}


def test_a_folder_without_pictures_says_what_it_holds(run, tmp_path, capsys):
    for name in ("a.txt", "b.txt", ".c"):
        write(tmp_path / name, b"text")
    assert main(["predict", run, str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "holds no image (not a picture that MoCoOp reads: 2, hidden, or added by" in err


def test_folders_nested_deeper_than_calls_can_be(tmp_path):
    """With few calls allowed, so that pytest itself can remove the folders."""
    write(tmp_path / ("n/" * 150) / "1.png", encoded(blocks(), "PNG"))
    depth = len(inspect.stack())
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 100)
    try:
        found = find_files([tmp_path])
    finally:
        sys.setrecursionlimit(limit)
    assert len(found.pictures) == 1
