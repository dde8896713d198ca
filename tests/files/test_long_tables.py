"""Long tables: read row by row in bounded memory, and refused early above a limit."""

from __future__ import annotations

import tracemalloc

import pytest

from mocoop.datasets import load_dataset, table_columns
from mocoop.errors import UserError
from tests.files.archives import write_zip
from tests.support.image_files import picture_bytes


def write(file, rows, split=""):
    """Writes a table of two classes that names this many images, which do not exist."""
    lines = (f"images/{n % 2}/{n:07}.jpg,class {n % 2}{split}" for n in range(rows))
    file.write_text("\n".join(["path,label" + (",split" if split else ""), *lines]) + "\n")
    return str(file)


def test_memory_is_that_of_the_paths(tmp_path):
    """At most 300 bytes a row, of which 80 are the text of the path."""
    file = write(tmp_path / "photos.csv", 40_000)
    load_dataset(write(tmp_path / "few.csv", 10))  # imports
    tracemalloc.start()
    data = load_dataset(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(map(len, data.splits.values())) == 40_000
    assert peak / 40_000 < 300


def test_too_many_rows_are_refused_before_the_rest_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(table_columns, "MOST_ROWS", 500)
    read = []
    rows = table_columns.read_rows
    monkeypatch.setattr(
        table_columns, "read_rows", lambda file: (read.append(row) or row for row in rows(file))
    )
    file = write(tmp_path / "photos.csv", 2000)
    with pytest.raises(UserError, match=r"lists more than 500 images.*set MOCOOP_MAX_ROWS"):
        load_dataset(file)
    assert len(read) == 501
    monkeypatch.setenv("MOCOOP_MAX_ROWS", "2_000")
    assert len(load_dataset(file).items("train")) == 1000
    monkeypatch.setenv("MOCOOP_MAX_ROWS", "many")
    with pytest.raises(UserError, match="MOCOOP_MAX_ROWS is 'many'"):
        load_dataset(file)


def test_a_table_in_an_archive_lists_no_more_than_its_files(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    lines = [f"img/{number}.png,cat" for number in range(50)]
    files = {"photos.csv": "\n".join(["path,label", *lines]).encode()}
    files |= {f"img/{number}.png": picture_bytes(number) for number in range(3)}
    path = write_zip(tmp_path / "pets.zip", files)
    with pytest.raises(UserError, match=r"lists more than 4 images\. There are no more files"):
        load_dataset(str(path))


def test_a_path_far_below_that_is_listed_again(tmp_path):
    """The line of the first of both is found again, though the rows were not kept."""
    file = tmp_path / "photos.csv"
    write(file, 3000)
    with file.open("a") as lines:
        lines.write("./images/1/0000007.jpg,class 1\nimages/0/0000008.jpg,class 0\n")
    with pytest.raises(UserError, match=r"line 3002: images/1/0000007.jpg .* in line 9\. Keep"):
        load_dataset(str(file))


def test_labels_without_training_images_and_wrong_splits_name_their_first_line(tmp_path):
    file = tmp_path / "photos.csv"
    write(file, 100, ",train")
    text = file.read_text()
    file.write_text(text + "a.jpg,class 2,test\nb.jpg,class 2,test\n")
    with pytest.raises(UserError, match=r"line 102: no training image has the label 'class 2'"):
        load_dataset(str(file))
    file.write_text(text + "a.jpg,class 1,test\nb.jpg,class 1,exam\nc.jpg,class 1,exam\n")
    with pytest.raises(UserError, match=r"line 103: expected a split .*; got exam"):
        load_dataset(str(file))
