"""The command predict with --csv and --labels: the table, the accuracy, and what is refused."""

from __future__ import annotations

import csv
import json

import pytest

from mocoop.cli.main import main
from mocoop.datasets import load_dataset
from mocoop.evaluation.many_pictures import HEADER
from mocoop.evaluation.paired import wilson_interval
from tests.support.compare_example import copy_run


@pytest.fixture
def folder(tmp_path):
    """Test images in a folder for each class, one of an unknown class, one that is damaged."""
    data, root = load_dataset("details"), tmp_path / "pictures"
    for number, item in enumerate(data.items("test", range(4))[::9]):
        place = root / data.class_names[item.label]
        place.mkdir(parents=True, exist_ok=True)
        data.image(item).save(place / f"{number}.png")
    (root / "dragon").mkdir()
    data.image(data.items("test", [0])[0]).save(root / "dragon" / "=1.png")
    (root / "dragon" / "broken.png").write_bytes(b"no picture")
    return root


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def rows_of(path):
    return list(csv.DictReader(path.open(encoding="utf-8")))


def test_folders_are_labels(finished_run, folder, tmp_path, capsys):
    table = tmp_path / "table.csv"
    arguments = ["predict", finished_run.path, folder, "--csv", table, "--labels", "folders"]
    code, out, err = run(capsys, *arguments)
    assert code == 2  # one image cannot be read
    assert "1 of " in err
    assert "broken.png" in err
    rows = rows_of(table)
    assert tuple(rows[0]) == HEADER
    known = [row for row in rows if row["true label"]]
    assert len(known) == len(rows) - 2
    right = sum(row["label"] == row["true label"] for row in known)
    assert [row["right"] for row in known].count("yes") == right
    interval = wilson_interval(right, len(known))
    assert f"accuracy {100 * right / len(known):.2f} % of {len(known)} labelled images" in out
    assert f"interval {interval.low:.1f} to {interval.high:.1f}" in out
    assert "left out: 1 image with the label 'dragon', which no class has" in out
    assert {row["unlike training"] for row in rows[:-1]} <= {"yes", "no"}
    assert rows[-1]["notes"].startswith("not read: ")
    code, out, _ = run(capsys, *arguments, "--json")
    assert code == 2
    found = json.loads(out)
    assert (found["labelled"]["right"], found["labelled"]["images"]) == (right, len(known))
    assert found["labelled"]["unknown"] == {"dragon": 1}
    assert len(found["unreadable"]) == 1


def test_labels_of_a_table(finished_run, folder, tmp_path, capsys):
    images = sorted(folder.glob("*/*.png"))
    image = next(path for path in images if path.parent.name != "dragon")
    labels = tmp_path / "labels.csv"
    labels.write_text(f"file,label\n{image},{image.parent.name}\n")
    code, out, _ = run(capsys, "predict", finished_run.path, image, "--labels", labels)
    assert code == 0
    assert "of 1 labelled image " in out
    for text, said in (
        ("file,label\nother.png,bee\n", "names none of the images"),
        ("a,b\n1,2\n", "file and label"),
    ):
        labels.write_text(text)
        code, out, err = run(capsys, "predict", finished_run.path, image, "--labels", labels)
        assert (code, out) == (2, "")
        assert said in err
    code, _, err = run(capsys, "predict", finished_run.path, image, "--labels", "no.csv")
    assert code == 2
    assert "expected `folders` or a CSV file" in err


def test_without_known_labels_there_is_no_accuracy(finished_run, folder, capsys):
    image = folder / "dragon" / "=1.png"
    code, out, _ = run(capsys, "predict", finished_run.path, image, "--labels", "folders")
    assert code == 0
    assert "there is no accuracy" in out


def test_a_run_without_training_images_leaves_their_columns_empty(
    finished_run, folder, tmp_path, capsys
):
    zero = copy_run(finished_run, tmp_path / "zero", method="zero-shot", epochs=0)
    table = tmp_path / "table.csv"
    code, out, err = run(
        capsys, "predict", zero.path, folder / "dragon" / "=1.png", "--csv", table
    )
    assert code == 0
    assert "has no training images" in err
    (row,) = rows_of(table)
    assert row["unlike training"] == row["distance"] == ""
    assert "unlike" not in out


def test_a_table_that_cannot_be_written_is_told_first(finished_run, folder, tmp_path, capsys):
    code, out, err = run(capsys, "predict", finished_run.path, folder, "--csv", tmp_path)
    assert (code, out) == (2, "")
    assert "expected a file" in err
