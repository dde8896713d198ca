"""Many pictures in batches, their true labels, and how well the predictions fit."""

from __future__ import annotations

import csv
import io
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from mocoop.classifiers.pictures import ImageClassifier
from mocoop.errors import UserError
from mocoop.evaluation.many_pictures import (
    GivenPicture,
    PictureRow,
    classify_many,
    distinct_names,
    many_csv,
    rows_of,
)
from mocoop.evaluation.paired import wilson_interval
from mocoop.evaluation.picture_labels import (
    class_of_label,
    labelled_result,
    labels_from_csv,
    labels_from_folders,
    match_labels,
    with_truth,
)
from mocoop.evaluation.unlike_training import training_distances
from mocoop.storage.images import open_image

NAMES = ("bee", "cat", "golden retriever")


def row(name: str, label: str) -> PictureRow:
    return PictureRow(name, label, 0.5, (), None, 0.1)


def test_numbers_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    true, told = generator.integers(0, 3, (2, 60))
    rows = [row(f"{index}.png", NAMES[label]) for index, label in enumerate(told)]
    labels = {f"{index}.png": NAMES[label] for index, label in enumerate(true)}
    result = labelled_result(with_truth(rows, labels, NAMES), labels, NAMES)
    assert result.accuracy == pytest.approx(100 * accuracy_score(true, told))
    assert result.macro_f1 == pytest.approx(100 * f1_score(true, told, average="macro"))
    assert result.interval == wilson_interval(result.right, 60)
    found = [[result.confusion[t].get(p, 0) for p in NAMES] for t in NAMES]
    assert found == confusion_matrix(true, told).tolist()


def test_labels_that_no_class_has_are_counted_and_left_out():
    rows = [row("a", "bee"), row("b", "cat"), row("c", "cat"), row("d", "cat")]
    labels = {"a": "bee", "b": "dragon", "c": "dragon"}
    result = labelled_result(with_truth(rows, labels, NAMES), labels, NAMES)
    assert (result.images, result.accuracy) == (1, 100.0)
    assert result.unknown == {"dragon": 2}
    assert result.unlabelled == 1
    nothing = labelled_result(rows[1:], {}, NAMES)
    assert (nothing.images, nothing.accuracy, nothing.unlabelled) == (0, None, 3)


def test_a_label_finds_its_class_by_words():
    assert class_of_label("Golden_Retriever", NAMES) == "golden retriever"
    assert class_of_label("002.GoldenRetriever", NAMES) == "golden retriever"
    assert class_of_label("CAT", NAMES) == "cat"
    assert class_of_label("--", NAMES) is None
    assert class_of_label("dog", NAMES) is None


def test_folders_are_labels():
    names = ["photos/cat/1.png", "bee\\2.png", "3.png"]
    assert labels_from_folders(names) == {"photos/cat/1.png": "cat", "bee\\2.png": "bee"}


@pytest.mark.parametrize(
    "text",
    [
        "file,label\na.png,cat\n",
        "\ufeffFile;Label\r\na.png; cat \r\n\r\n",
        "label\tpath\ncat\ta.png",
        "\n ; \r\nfile;label\na.png;cat\n",
        'file, "label"\na.png, "cat"\n',
        "sep=;\nfile;label\na.png;cat\n",
    ],
)
def test_tables_of_labels(text):
    assert labels_from_csv(text.encode()) == {"a.png": "cat"}
    assert labels_from_csv(text.lstrip("\ufeff").encode("utf-16")) == {"a.png": "cat"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe\x00", "UTF-8"),
        (b"", "columns file and label"),
        (b"name;kind\na;b", "columns file and label"),
        (b"file,label\na,cat\na,bee", "two labels: cat and bee"),
    ],
)
def test_tables_that_are_none(content, words):
    with pytest.raises(UserError, match=words):
        labels_from_csv(content)


def test_a_file_is_found_by_its_path_or_its_name():
    labels = {"x/a.png": "cat", "y/a.png": "bee", "z/b.png": "cat"}
    assert match_labels(labels, ["x/a.png", "other/a.png", "b.png"]) == {
        "x/a.png": "cat",
        "b.png": "cat",
    }


@pytest.fixture(scope="module")
def opened(finished_run):
    return ImageClassifier.from_run(finished_run)


def test_pictures_without_content_and_labels_of_no_class_get_a_note(opened):
    noise = np.random.default_rng(1).integers(0, 255, (60, 60, 3), dtype=np.uint8)
    slope = np.tile(np.arange(60, dtype=np.uint8)[:, None, None], (1, 60, 3)) * 4
    images = {
        "noise": Image.fromarray(noise),
        "flat": Image.new("RGB", (60, 60), "red"),
        "slope": Image.fromarray(slope),
    }
    pictures = [GivenPicture(name, lambda i=image: (i, [])) for name, image in images.items()]
    (batch,) = classify_many(opened.classifier, opened.encoder, pictures, {})
    noisy, flat, slope_row = with_truth(rows_of(batch), {"flat": "dragon"}, NAMES)
    assert noisy.notes == ("pure noise: it shows nothing",)
    assert flat.notes == (
        "of one colour: it shows nothing",
        "label 'dragon': no class has this name",
    )
    assert slope_row.notes == ()


def test_batches_equal_one_by_one_and_bad_files_are_named(opened, finished_run, tmp_path):
    generator = np.random.default_rng(0)
    files = []
    for index in range(40):
        pixels = generator.integers(0, 255, (30 + index, 50, 3), dtype=np.uint8)
        files.append(tmp_path / f"{index}.png")
        Image.fromarray(pixels).save(files[-1])
    files[7].write_bytes(b"no picture")
    pictures = [GivenPicture(file.name, partial(open_image, file)) for file in files]
    unreadable: dict[str, str] = {}
    told, seen, rows, features = [], [], [], []
    training = training_distances(finished_run)
    for batch in classify_many(
        opened.classifier,
        opened.encoder,
        pictures,
        unreadable,
        lambda *numbers: told.append(numbers),
        lambda name, image: seen.append(name),
    ):
        rows += rows_of(batch, training)
        features.append(batch.features)
    assert list(unreadable) == ["7.png"]
    assert "not a readable image" in unreadable["7.png"]
    assert told == [(number, 40) for number in range(1, 41)]
    assert seen == [one.name for one in rows] == [f.name for f in files if f.name != "7.png"]
    alone = opened.predict([file for file in files if file.name != "7.png"])
    for index, one in enumerate(rows):
        assert one.label == alone.class_names[int(alone.probabilities[index].argmax())]
        assert one.probability == pytest.approx(float(alone.probabilities[index].max()), abs=1e-5)
        assert [name for name, _ in one.experts] == [name for name, _ in alone.chosen(index)]
        shares = alone.probabilities[index].double()
        assert one.class_entropy == pytest.approx(float(-(shares * shares.log()).sum()), abs=1e-4)
    distances = training.distances(torch.cat(features))
    assert [one.distance for one in rows] == pytest.approx(distances.tolist())
    table = list(csv.DictReader(io.StringIO(many_csv(rows, unreadable))))
    assert len(table) == 40
    assert table[0]["label"] == rows[0].label
    assert table[-1]["file"] == "7.png"
    assert table[-1]["notes"].startswith("not read")


def test_equal_names_are_numbered_and_formulas_are_text():
    assert distinct_names(["a", "a", "a (2)", "a"]) == ["a", "a (2)", "a (2) (2)", "a (3)"]
    text = many_csv([row("=cmd|'/c calc'!A0.png", "bee")], {})
    assert "\n'=cmd" in text
