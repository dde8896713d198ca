"""Odd folders: each is read as it was meant, or refused; test images never train."""

from __future__ import annotations

import json
import os

import pytest

from mocoop.cli.main import main
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from tests.files.layouts import LAYOUTS, REFUSED, Layout
from tests.support.image_files import add_files


@pytest.mark.parametrize("name", LAYOUTS)
def test_odd_folders(tmp_path, name):
    layout = LAYOUTS[name]
    layout.write(tmp_path)
    data = load_dataset(str(tmp_path))
    assert data.class_names == layout.classes
    if layout.tested:
        assert all(layout.tested in f"/{item.id}" for item in data.items("test"))
        others = (*data.items("train"), *data.items("val"))
        assert not any(layout.tested in f"/{item.id}" for item in others)
    assert layout.says in "\n".join(data.remarks)
    assert data.remarks[0].startswith("read as ")
    used = {item.id for part in data.splits.values() for item in part}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(used) + sum(map(len, data.aside.values())) == len(files)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_folders(tmp_path, name):
    folders, words = REFUSED[name]
    Layout(folders).write(tmp_path)
    with pytest.raises(UserError, match=words):
        load_dataset(str(tmp_path))


def test_the_commands_say_the_layout_and_what_was_left_aside(tmp_path, capsys):
    add_files(tmp_path, *(f"{p}/{c}/{n}.png" for p in ("Train", "Test") for c in "ab"
                          for n in range(2)))  # fmt: skip
    (tmp_path / "notes.txt").write_text("x")
    for command in ("check", "show"):
        assert main(["data", command, str(tmp_path)]) == 0
        told = capsys.readouterr().out
        assert "read as parts of a split (train: Train/, test: Test/): 2 classes; 4 train" in told
        assert "1 file was left aside (not a picture that MoCoOp reads): notes.txt" in told
        assert main(["data", command, str(tmp_path), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["layout"].startswith("parts of a split")
        assert list(told["left_aside"].values()) == [["notes.txt"]]


def test_folders_that_cannot_be_opened_or_are_too_deep(tmp_path, monkeypatch):
    add_files(tmp_path, "cat/1.png", "dog/1.png", "dog/deep/1.png")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    with monkeypatch.context() as patch:
        patch.setattr("mocoop.datasets.tree.os.scandir", refuse)
        with pytest.raises(UserError, match=r"dog/deep.* cannot be opened \(Permission denied\)"):
            load_dataset(str(tmp_path))
    (tmp_path / "cat" / "itself").symlink_to(tmp_path / "cat" / "itself")
    assert len(load_dataset(str(tmp_path)).class_names) == 2
    add_files(tmp_path, "cat/" + "n/" * 250 + "2.png")
    with pytest.raises(UserError, match="more than 200 folders deep"):
        load_dataset(str(tmp_path))
