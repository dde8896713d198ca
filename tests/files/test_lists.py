"""Odd lists, as people have them: each is read as it was meant, or refused in words."""

from __future__ import annotations

import json

import pytest

from mocoop.cli.main import main
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from tests.support.image_files import add_files, picture_bytes

PLAIN = [("img/cat/0.png", "cat"), ("img/cat/1.png", "cat"), ("img/dog/0.png", "dog"),
         ("img/dog/1.png", "dog")]  # fmt: skip


def lines(header, template):
    """Returns a table whose rows are made by a template of path and label."""
    return "\n".join([header, *(template.format(path, label) for path, label in PLAIN)]) + "\n"


TABLES = {
    "Windows paths": lines("path,label", "{},{}").replace("/", "\\"),
    "dots": lines("path,label", "./{},{}"),
    "double slashes": lines("path,label", "{},{}").replace("/", "//"),
    "a space before a quote": lines("path, label", '"{}", "{}"'),
    "sep=;": "sep=;\n" + lines("path;label", "{};{}"),
    "SEP=,": "SEP=,\r\n" + lines("path,label", "{},{}"),
    "filename and class": lines("filename,class", "{},{}"),
    "image and label": lines("Image,Label", "{},{}"),
    "file path and class name": lines("file path,class-name", "{},{}"),
    "BOM": "\ufeff" + lines("path,label", "{},{}"),
    "more columns": lines("id,image,width,label", "7,{},640,{}"),
    "quoted": lines('"path","label"', '"{}","{}"'),
}


@pytest.mark.parametrize("name", TABLES)
def test_odd_tables(tmp_path, name):
    add_files(tmp_path, *(path for path, _ in PLAIN))
    (tmp_path / "photos.csv").write_text(TABLES[name], encoding="utf-8", newline="")
    data = load_dataset(str(tmp_path / "photos.csv"))
    assert data.class_names == ("cat", "dog")
    found = {(i.id, data.class_names[i.label]) for part in data.splits.values() for i in part}
    assert found == set(PLAIN)
    assert data.remarks[0].startswith("read as the table photos.csv")


def test_utf_16(tmp_path):
    """As spreadsheets save "Unicode text"."""
    add_files(tmp_path, *(path for path, _ in PLAIN))
    text = lines("path\tlabel", "{}\t{}").replace("\tdog", "\tdög")
    (tmp_path / "photos.csv").write_text(text, encoding="utf-16")
    assert load_dataset(str(tmp_path / "photos.csv")).class_names == ("cat", "dög")


def test_other_columns_are_named(tmp_path):
    add_files(tmp_path, *(path for path, _ in PLAIN))
    (tmp_path / "photos.csv").write_text(TABLES["filename and class"])
    assert (
        "photos.csv (path: filename, label: class):"
        in load_dataset(str(tmp_path / "photos.csv")).remarks[0]
    )


def test_two_spellings_of_one_path(tmp_path):
    text = "path,label\nimg/x.png,cat\n./img/x.png,cat\nimg/y.png,dog\n"
    (tmp_path / "photos.csv").write_text(text)
    with pytest.raises(UserError, match=r"line 3: img/x.png is already listed in line 2"):
        load_dataset(str(tmp_path / "photos.csv"))


def test_lines_are_counted_from_the_files_start(tmp_path):
    (tmp_path / "photos.csv").write_text("sep=;\npath;label\na.png;cat\nb.png;\n")
    with pytest.raises(UserError, match=r"line 4: expected a label for b.png"):
        load_dataset(str(tmp_path / "photos.csv"))


def test_numbers_are_sorted_by_value(tmp_path):
    """The order decides which classes are the base half."""
    rows = [f"{n}-{k}.png,{n}" for n in (10, 2, 0, 1, 11) for k in range(2)]
    (tmp_path / "photos.csv").write_text("path,label\n" + "\n".join(rows))
    assert load_dataset(str(tmp_path / "photos.csv")).class_names == ("0", "1", "2", "10", "11")


@pytest.mark.parametrize(("on_disk", "listed"), [("\u00e9", "e\u0301"), ("e\u0301", "\u00e9")])
def test_accents_are_stored_differently(tmp_path, on_disk, listed):
    """In the paths, and in the labels."""
    add_files(tmp_path, *(f"caf{on_disk}/{n}.png" for n in range(3)), "dog/1.png", "dog/2.png")
    rows = [f"caf{listed}/{n}.png,caf{(on_disk, listed)[n % 2]}" for n in range(3)]
    rows += ["dog/1.png,dog", "dog/2.png,dog"]
    (tmp_path / "photos.csv").write_text("path,label\n" + "\n".join(rows))
    data = load_dataset(str(tmp_path / "photos.csv"))
    assert data.class_names == ("caf\u00e9", "dog")
    assert all(data.image(item) for part in data.splits.values() for item in part)


def test_edits_of_names_with_accents(tmp_path):
    add_files(tmp_path, *(f"{c}/{n}.png" for c in ("cafe\u0301", "dog") for n in range(4)))
    (tmp_path / "mocoop.yaml").write_text("\ufeffclasses:\n  caf\u00e9: bar\n", encoding="utf-8")
    assert load_dataset(str(tmp_path)).class_names == ("bar", "dog")


def test_training_and_validation_without_test(tmp_path):
    rows = [f"{c}{n}.png,{c},{'val' if n > 7 else 'train'}" for c in "ab" for n in range(10)]
    (tmp_path / "photos.csv").write_text("path,label,split\n" + "\n".join(rows))
    data = load_dataset(str(tmp_path / "photos.csv"))
    assert [len(data.items(split)) for split in ("train", "val", "test")] == [12, 4, 4]
    assert {item.id for item in data.items("test")} == {"a8.png", "a9.png", "b8.png", "b9.png"}
    assert "no test images: the validation images are tested on" in data.note


@pytest.mark.parametrize("beside", ["photos.csv", "set/photos.csv"])
def test_a_table_beside_a_folder_of_images(tmp_path, beside):
    """The folder works like the table itself."""
    start = beside.rpartition("/")[0]
    (tmp_path / "pets" / start / "img").mkdir(parents=True)
    for n in range(6):
        (tmp_path / "pets" / start / f"img/{n}.png").write_bytes(picture_bytes(n))
    rows = "\n".join(f"img/{n}.png,{'cat' if n < 3 else 'dog'}" for n in range(5))
    (tmp_path / "pets" / beside).write_text("path,label\n" + rows)
    by_folder, by_table = (load_dataset(str(tmp_path / p)) for p in ("pets", f"pets/{beside}"))
    assert by_folder.splits == by_table.splits
    assert sum(map(len, by_folder.aside.values())) == sum(map(len, by_table.aside.values())) == 1


def test_a_table_says_what_folders_do_not(tmp_path):
    """Loose images in train/ and test/ are no classes; a table beside them is read."""
    files = [f"{p}/{n}.png" for p in ("train", "test") for n in range(4)]
    add_files(tmp_path, *files)
    rows = "\n".join(f"{f},{'ab'[n % 2]},{f.split('/')[0]}" for n, f in enumerate(files))
    (tmp_path / "photos.csv").write_text("path,label,split\n" + rows)
    data = load_dataset(str(tmp_path))
    assert all(item.id.startswith("test/") for item in data.items("test"))


def test_the_same_picture_in_two_training_classes(tmp_path, capsys):
    for name in ("train/cat/0.png", "train/dog/0.png", "test/cat/1.png", "test/dog/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture_bytes(name[-5:]))
    assert main(["data", "check", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "warning: the same training image in two classes: 1" in out
    assert "train/cat/0.png = train/dog/0.png" in out
    assert main(["data", "check", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["two_classes"] == [
        ["train/cat/0.png", "train/dog/0.png"]
    ]
