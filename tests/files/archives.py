"""Makes the same images as a folder, zip, tar.gz, CSV, Parquet and split file; and odd zips."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile

from tests.support.image_files import picture_bytes

SPLITS = {"train": 5, "val": 2, "test": 3}
IMAGES = {
    f"{split}/{name}/{number}.png": (split, name)
    for split, count in SPLITS.items()
    for name in ("cat", "dog", "emu")
    for number in range(count)
}
"""Path → (split, class) of 30 images."""


def rows(before=""):
    """Returns the lines of a table of the images."""
    return [f"{before}{path},{name},{split}" for path, (split, name) in IMAGES.items()]


def csv_text(before=""):
    return "\n".join(["path,label,split", *rows(before)]) + "\n"


def split_text():
    """Returns one of CoOp's split files for the images."""
    classes = ["cat", "dog", "emu"]
    content = {
        part: [[p, classes.index(n), n] for p, (s, n) in IMAGES.items() if s == part]
        for part in SPLITS
    }
    return json.dumps(content)


def contents(kind):
    """Returns path → bytes of all files of a data set of this kind."""
    pictures = {path: picture_bytes(path) for path in IMAGES}
    held = {f"img/{path.replace('/', '-')}": picture_bytes(path) for path in IMAGES}
    flat = csv_text().replace("train/", "img/train-").replace("val/", "img/val-")
    flat = flat.replace("test/", "img/test-")
    for name in ("cat", "dog", "emu"):
        flat = flat.replace(f"-{name}/", f"-{name}-")
    return {
        "parts": pictures,
        "wrapped": {"LICENSE.txt": b"x"} | {f"pets/{p}": data for p, data in pictures.items()},
        "table": {"photos.csv": flat.encode()} | held,
        "split file": {"split_zhou_Pets.json": split_text().encode()}
        | {f"images/{p}": data for p, data in pictures.items()},
    }[kind]


KINDS = ("parts", "wrapped", "table", "split file")


def write_folder(root, files):
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def write_zip(file, files):
    with zipfile.ZipFile(file, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return file


def write_tar(file, files, mode="w:gz"):
    with tarfile.open(file, mode) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file


def zip_with_names(encoding, names):
    """Returns a zip whose names are stored in an encoding, without the mark of UTF-8."""
    buffer = io.BytesIO()
    places = {}
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, name in enumerate(names):
            raw = name.encode(encoding)
            place = f"{number:02}".ljust(len(raw), "x").encode()
            places[place] = raw
            archive.writestr(place.decode(), picture_bytes(name))
    content = buffer.getvalue()
    for place, raw in places.items():
        assert content.count(place) == 2
        content = content.replace(place, raw)
    return content
