"""The same 30 images give the same classes, parts and accuracy, however they are wrapped."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random

import numpy as np
import pytest
from PIL import Image

from mocoop.datasets import load_dataset
from mocoop.presets import settings_from
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment
from tests.files.archives import write_folder, write_tar, write_zip
from tests.files.pictures import encoded
from tests.support.tiny_data import tiny_checkpoint

COLOURS = {"golden_retriever": (200, 120, 40), "Dog": (90, 120, 60), "caf\u00e9-10": (70, 60, 160)}
PARTS = {"train": 5, "val": 2, "test": 3}
STYLES = ("art_painting", "photo")


def noise(number, colour):
    """Returns a picture that is not easy to recognise, as PNG."""
    generator = np.random.default_rng(number)
    pixels = generator.normal(colour, 70, (40, 40, 3)).clip(0, 255).astype(np.uint8)
    return encoded(Image.fromarray(pixels), "PNG")


def made(*places):
    """Returns rows (path, class, split, style) of 30 images, and path → bytes.

    Args:
        places: folder, split, style and how many images of each class are there.
    """
    rows, files = [], {}
    for folder, split, style, count in places:
        for name, colour in COLOURS.items():
            for _ in range(count):
                # 10.png is before 2.png in a folder; "a-b" and "a/b" sort in two ways too.
                path = "/".join(filter(None, (folder, name, f"{len(rows)}.png")))
                files[path] = noise(len(rows), colour)
                rows.append((path, name, split, style))
    return rows, files


LAYOUTS = {
    "own split": made(*((part, part, "", count) for part, count in PARTS.items())),
    "split by rule": made(("", "", "", 10)),
    "domains": made(*((style, "", style, 5) for style in STYLES)),
}


def table(rows, delimiter=",", before=""):
    """Returns the text of a table with the columns that the rows need."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    used = [True, True, any(row[2] for row in rows), any(row[3] for row in rows)]
    for row in (("path", "label", "split", "style"), *rows):
        cells = (before * (row is not rows and row[0] != "path") + row[0], *row[1:])
        writer.writerow([cell for cell, keep in zip(cells, used, strict=True) if keep])
    return text.getvalue()


def parquet(rows):
    """Returns the bytes of a Parquet file of the rows."""
    import pyarrow.csv
    import pyarrow.parquet

    buffer = io.BytesIO()
    read = pyarrow.csv.read_csv(io.BytesIO(table(rows).encode()))
    pyarrow.parquet.write_table(read, buffer)
    return buffer.getvalue()


def split_file(rows):
    """Returns the text of one of CoOp's split files: classes in the order of their names."""
    names = sorted(COLOURS)
    return json.dumps({p: [[r[0], names.index(r[1]), r[1]] for r in rows if r[2] == p]
                       for p in PARTS})  # fmt: skip


def shuffled(rows):
    return random.Random(3).sample(rows, len(rows))


def wrapped(root, rows, files):
    """Returns name → the path of the images in every wrapping."""
    lists = {
        "a CSV": ("photos.csv", table(rows).encode()),
        "a CSV in another order": ("photos.csv", table(shuffled(rows)).encode()),
        "a TSV": ("photos.tsv", table(rows, "\t").encode()),
        "a Parquet": ("photos.parquet", parquet(shuffled(rows))),
    }
    if any(row[2] for row in rows):
        in_order = sorted(rows, key=lambda row: (row[1], row[0]))
        lists["a split file"] = ("split_zhou_Things.json", split_file(in_order).encode())
    found = {
        "a folder": write_folder(root / "folder" / "pets", files),
        "a zip": write_zip(root / "pets.zip", files),
        "a zip in another order": write_zip(root / "other.zip", dict(shuffled([*files.items()]))),
        "a tar": write_tar(root / "pets.tar", files, "w"),
        "a tar.gz": write_tar(root / "pets.tar.gz", files),
        "a tar.xz": write_tar(root / "pets.tar.xz", files, "w:xz"),
    }
    inside = {f"img/{path}": content for path, content in files.items()}
    for number, (name, (file, content)) in enumerate(lists.items()):
        found[name] = write_folder(root / str(number), {file: content, **files}) / file
        if name == "a split file":
            packed = {file: content, **inside}
        elif file.endswith("parquet"):
            packed = {file: parquet([(f"img/{row[0]}", *row[1:]) for row in rows]), **inside}
        else:
            delimiter = "\t" if file.endswith("tsv") else ","
            packed = {file: table(rows, delimiter, "img/").encode(), **inside}
        found[f"{name} in a zip"] = write_zip(root / f"{number}.zip", packed)
        found[f"{name} in a tar.gz"] = write_tar(root / f"{number}.tar.gz", packed)
    return found


def content_of(data):
    """Returns the class names, the styles, and split → (class, style, hash of the pixels)."""
    parts = {
        split: [
            (item.label, item.style, hashlib.sha256(data.image(item).tobytes()).hexdigest())
            for item in items
        ]
        for split, items in data.splits.items()
    }
    return data.class_names, data.styles, parts


@pytest.mark.long
@pytest.mark.parametrize("layout", LAYOUTS)
def test_classes_parts_and_accuracy(tmp_path, monkeypatch, layout):
    """Also the training's losses are the same to the last bit: the same images were drawn."""
    backbone = tiny_checkpoint(tmp_path / "clip")
    sets = wrapped(tmp_path / "sets", *LAYOUTS[layout])
    first, results = None, {}
    for number, (name, path) in enumerate(sets.items()):
        monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / f"cache {number}"))
        data = load_dataset(str(path))
        found = content_of(data)
        first = first or found
        assert sum(map(len, data.splits.values())) == 30
        assert found == first, name
        values = {"data": str(path), "backbone": backbone, "method": "coop", "shots": 2}
        config = settings_from(values | {"epochs": 3, "augment": "none", "learning_rate": 0.5})
        list(run_experiment(config, tmp_path / "runs" / str(number)))
        run = Run(tmp_path / "runs" / str(number))
        losses = [record["losses"] for record in run.records()]
        results[name] = (run.results()["all"]["accuracy"], losses)
    assert first[0] == ("Dog", "café-10", "golden retriever")
    assert [len(first[2][part]) for part in PARTS] in ([15, 6, 9], [12, 6, 12])
    assert 0 < results["a folder"][0] < 100
    for name, result in results.items():
        assert result == results["a folder"], name
