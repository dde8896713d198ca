"""Mutated images, lists and archives: read, or refused in words; no crash, nothing left behind."""

from __future__ import annotations

import random

import pytest

from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.storage.images import open_image
from tests.files.archives import contents, csv_text, split_text, write_folder, write_tar, write_zip
from tests.files.pictures import READ, deep


def mutated(content, generator):
    """Returns the bytes with a few of them changed, removed, repeated or cut off."""
    changed = bytearray(content)
    for _ in range(generator.randint(1, 4)):
        if not changed:
            break
        place = generator.randrange(len(changed))
        piece = slice(place, place + generator.randint(1, 16))
        match generator.randrange(4):
            case 0:
                changed[place] = generator.randrange(256)
            case 1:
                del changed[piece]
            case 2:
                changed[place:place] = changed[piece]
            case _:
                changed = changed[:place] if generator.random() < 0.3 else changed
    return bytes(changed)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of much that is odd
def test_images():
    generator = random.Random(0)
    sources = [content() for content in READ.values()] + [deep(4095), deep(1.0, "TIFF", "float32")]
    for number in range(300):
        try:
            image, _ = open_image(mutated(sources[number % len(sources)], generator))
        except UserError:
            continue
        assert image.mode == "RGB"


@pytest.mark.parametrize("name", ["photos.csv", "split_zhou_Pets.json", "mocoop-skip.jsonl",
                                  "mocoop.yaml"])  # fmt: skip
def test_lists(tmp_path, name):
    generator = random.Random(1)
    root = write_folder(tmp_path / "pets", contents("parts"))
    whole = {
        "photos.csv": csv_text(),
        "split_zhou_Pets.json": split_text(),
        "mocoop-skip.jsonl": '{"image": "train/cat/1.png", "reason": "damaged"}\n',
        "mocoop.yaml": 'classes:\n  cat: tomcat\nzero_shot: "a photo of a {}."\nwhite: 4095\n',
    }[name]
    path = root / name
    for _ in range(30):
        path.write_bytes(mutated(whole.encode(), generator))
        try:
            load_dataset(str(path if name == "photos.csv" else root))
        except UserError:
            continue


@pytest.mark.parametrize(("suffix", "write"), [(".zip", write_zip), (".tar.gz", write_tar)])
def test_archives(tmp_path, suffix, write, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    generator = random.Random(2)
    files = dict(list(contents("parts").items())[::2])
    whole = write(tmp_path / f"whole{suffix}", files).read_bytes()
    for number in range(40):
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(mutated(whole, generator))
        try:
            load_dataset(str(path))
        except UserError:
            continue
    made = [path.name for path in (tmp_path / "cache").rglob("*") if path.name.startswith(".")]
    assert [name for name in made if not name.startswith(".mocoop")] == []
