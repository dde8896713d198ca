"""Lists and settings beside images that nobody should follow: refused, and nothing stays."""

from __future__ import annotations

import json

import pytest

from mocoop.catalog.uploads import keep_upload
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.storage.typed_json import decode
from mocoop.templates import groups_in
from mocoop.user_yaml import read_yaml
from tests.files.archives import write_zip
from tests.support.image_files import picture_bytes

BRACKETS = b"[" * 20_000
BOMB = b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
PICTURES = {f"{name}/{n}.png": picture_bytes(n) for name in ("cat", "dog") for n in range(4)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BRACKETS, "levels deep|nesting depth"),
        (b"{a: " * 20_000, "levels deep|nesting depth"),
        (BOMB, "by an alias"),
        (b"x" * 2_000_000, "at most"),
        (b"\xff\xfe\x00", "."),
        (b"a: 2024-99-99", "month"),
        (b"a: {b: [{c: 1, d: 2,\n c: 3}]}", "c is given twice, on the lines 1 and 2"),
        (b'{"a": ["x {}."],\n "a": ["y {}."]}', "a is given twice, on the lines 1 and 2"),
        (b"a: [", "expected"),
    ],
)
def test_odd_yaml_is_refused_in_words(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        read_yaml(text)
    with pytest.raises(UserError, match=r"Templates file t\.yaml cannot be read"):
        groups_in(text, "t.yaml")
    write_zip(tmp_path / "pets.zip", PICTURES | {"mocoop.yaml": text})
    with (tmp_path / "pets.zip").open("rb") as file, pytest.raises(UserError, match=words):
        keep_upload(file, "pets.zip", tmp_path / "data")
    assert list((tmp_path / "data" / "uploads").iterdir()) == []
    with pytest.raises(UserError, match=r"mocoop\.yaml cannot be read"):
        load_dataset(str(tmp_path / "pets.zip"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("split_zhou_Pets.json", '{"train": [["no.png", 0, "cat"]], "val": [], "test": []}'),
        ("mocoop.yaml", "classes: [1"),
    ],
)
def test_a_message_about_an_upload_names_no_folder_of_the_server(tmp_path, name, text):
    write_zip(tmp_path / "pets.zip", PICTURES | {name: text.encode()})
    with (
        (tmp_path / "pets.zip").open("rb") as file,
        pytest.raises(UserError, match=name.replace(".", r"\.")) as caught,
    ):
        keep_upload(file, "pets.zip", tmp_path / "data")
    assert str(tmp_path) not in str(caught.value)
    assert ".content" not in str(caught.value)


@pytest.mark.parametrize("error", [RecursionError, MemoryError, KeyboardInterrupt])
def test_nothing_of_an_upload_stays_whatever_happens(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("mocoop.catalog.uploads.load_extracted", fail)
    write_zip(tmp_path / "pets.zip", PICTURES)
    with (tmp_path / "pets.zip").open("rb") as file, pytest.raises(error):
        keep_upload(file, "pets.zip", tmp_path / "data")
    assert list((tmp_path / "data" / "uploads").iterdir()) == []


@pytest.mark.parametrize("odd", ["../../../x.png", "/etc/x.png", "cat/../../x.png", "C:/x.png"])
def test_a_split_file_stays_in_its_folder(tmp_path, odd):
    (tmp_path / "x.png").write_bytes(picture_bytes(9))
    folder = tmp_path / "a" / "b" / "pets"
    for name, content in PICTURES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    rows = [[f"{name}/{n}.png", label, name] for label, name in enumerate(("cat", "dog"))
            for n in range(3)]  # fmt: skip
    split = {"train": rows, "val": [], "test": [["cat/3.png", 0, "cat"], [odd, 1, "dog"]]}
    (folder / "split_zhou_Pets.json").write_text(json.dumps(split))
    with pytest.raises(UserError, match="which is not in its folder"):
        load_dataset(str(folder))
    split["test"][1][0] = "dog/3.png"
    (folder / "split_zhou_Pets.json").write_text(json.dumps(split))
    assert len(load_dataset(str(folder)).items("test")) == 2


def test_a_split_file_of_brackets_is_no_split_file(tmp_path):
    (tmp_path / "split_zhou_Pets.json").write_bytes(b'{"train": ' + b"[" * 100_000)
    with pytest.raises(UserError, match="is not a split file"):
        load_dataset(str(tmp_path))
    with pytest.raises(UserError, match="nested too deeply"):
        decode(BRACKETS, list)
