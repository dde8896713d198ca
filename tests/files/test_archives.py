"""The same images in any wrapping are the same data set; odd and hostile archives."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import pytest

from mocoop.catalog.uploads import keep_upload
from mocoop.datasets import check_name, dataset_name, load_dataset
from mocoop.datasets.archive import load_archive
from mocoop.errors import UserError
from mocoop.storage.image_archives import names_in
from mocoop.storage.zip_names import zip_names
from tests.files.archives import (
    IMAGES,
    KINDS,
    contents,
    csv_text,
    write_folder,
    write_tar,
    write_zip,
    zip_with_names,
)
from tests.support.image_files import picture_bytes


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pixels(data):
    """Returns split → (class name, colour) of all images, in order."""
    return {
        split: [(data.class_names[i.label], data.image(i).getpixel((0, 0))) for i in items]
        for split, items in data.splits.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_wrapping_is_the_same_set(tmp_path, kind):
    """Folder, zip, tar and tar.gz of 30 images give the same classes, splits and pixels."""
    files = contents(kind)
    made = [
        write_folder(tmp_path / "pets", files),
        write_zip(tmp_path / "pets.zip", files),
        write_tar(tmp_path / "pets.tar.gz", files),
        write_tar(tmp_path / "pets.tar", files, "w"),
    ]
    sets = [load_dataset(str(path)) for path in made]
    expected = [(n, picture_bytes(p)) for p, (s, n) in IMAGES.items() if s == "test"]
    for path, data in zip(made, sets, strict=True):
        check_name(str(path))
        assert (data.name, dataset_name(str(path)), data.source) == ("pets", "pets", str(path))
        assert data.class_names == ("cat", "dog", "emu")
        assert [len(data.items(split)) for split in ("train", "val", "test")] == [15, 6, 9]
        assert pixels(data) == pixels(sets[0])
        assert data.remarks == sets[0].remarks
    assert len(expected) == 9


def test_a_table_file_and_parquet_are_the_same_set_too(tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow.csv
    import pyarrow.parquet

    root = write_folder(tmp_path / "pets", contents("parts"))
    (root / "photos.csv").write_text(csv_text())
    table = pyarrow.csv.read_csv(io.BytesIO(csv_text().encode()))
    pyarrow.parquet.write_table(table, root / "photos.parquet")
    folder = load_dataset(str(root))
    assert folder.layout.startswith("parts of a split")  # folders go before the tables
    for name in ("photos.csv", "photos.parquet"):
        assert pixels(load_dataset(str(root / name))) == pixels(folder)


def test_an_archive_is_extracted_once_and_again_when_it_changes(tmp_path, cache):
    path = write_zip(tmp_path / "pets.zip", contents("parts"))
    first = load_dataset(str(path))
    assert load_dataset(str(path)).root == first.root
    write_zip(path, contents("wrapped"))
    assert load_dataset(str(path)).root != first.root


@pytest.mark.parametrize("kind", KINDS)
def test_uploads_take_every_kind(tmp_path, kind):
    for path in (
        write_zip(tmp_path / "a.zip", contents(kind)),
        write_tar(tmp_path / "b.tar.gz", contents(kind)),
    ):
        with path.open("rb") as file:
            data = keep_upload(file, path.name, tmp_path / "data")
        assert data.class_names == ("cat", "dog", "emu")
        assert pixels(load_dataset(data.source)) == pixels(data)


NAMES = {
    "cp932": ("ネコ/写真一.png", "ネコ/写真二.png", "いぬ/写真一.png", "いぬ/写真二.png"),
    "gbk": ("猫/图片.png", "猫/图二.png", "狗/图片.png", "狗/图二.png"),
    "cp437": ("café/été.png", "café/2.png", "über/é.png", "über/ä.png"),
}


OTHERS = {"cp932": "cp1251", "gbk": "euc_kr", "cp437": "cp1251"}  # wrong, but possible


@pytest.mark.parametrize("encoding", NAMES)
def test_names_that_do_not_say_how_they_are_stored(tmp_path, encoding, monkeypatch):
    content = zip_with_names(encoding, NAMES[encoding])
    names = names_in(io.BytesIO(content))
    assert names.encoding == encoding
    assert 1 <= len(names.examples) <= 3
    path = tmp_path / "pets.zip"
    path.write_bytes(content)
    data = load_dataset(str(path))
    assert set(data.labels) == {name.split("/")[0] for name in NAMES[encoding]}
    (told,) = [remark for remark in data.remarks if "how its names are stored" in remark]
    assert f"read as {encoding}: {NAMES[encoding][0]}" in told
    monkeypatch.setenv("MOCOOP_ZIP_NAMES", OTHERS[encoding])
    data = load_dataset(str(path))
    assert set(data.labels) != {name.split("/")[0] for name in NAMES[encoding]}
    assert any(f"are read as {OTHERS[encoding]}" in remark for remark in data.remarks)


def test_a_second_name_in_utf8_counts():
    """Python 3.12 takes the name in Info-ZIP's extra field for that of the entry."""
    entry, plain = zipfile.ZipInfo("??/1.png"), zipfile.ZipInfo("cat/1.png")
    entry.filename = "猫/1.png"
    names = zip_names([entry, plain])
    assert [names.read(entry), names.read(plain)] == ["猫/1.png", "cat/1.png"]
    assert names.encoding == ""


def test_the_user_chooses_the_encoding_of_an_upload(tmp_path):
    content = zip_with_names("gbk", NAMES["gbk"])
    data = keep_upload(io.BytesIO(content), "pets.zip", tmp_path, encoding="gbk")
    assert data.labels == ("狗", "猫")
    assert any("the names in the zip are read as gbk" in remark for remark in data.remarks)
    with pytest.raises(UserError, match=r"Unknown encoding of the names in a zip 'utf-7'"):
        keep_upload(io.BytesIO(content), "pets.zip", tmp_path, encoding="utf-7")


def tar_with(*entries):
    """Returns the bytes of a tar with one image, and other entries."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("cat/1.png")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"abc"))
        for other in entries:
            archive.addfile(other)
    return buffer.getvalue()


def link(kind, name="cat/2.png", to="/etc/passwd"):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, to
    return entry


def huge_header():
    """Returns a tar whose first header claims 4 GB of extra information."""
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.XHDTYPE, 4 * 2**30
    return entry.tobuf() + b"\0" * 1024


HOSTILE = {
    "a link out of it": (tar_with(link(tarfile.SYMTYPE)), "cat/2.png is a link"),
    "a hard link": (tar_with(link(tarfile.LNKTYPE)), "cat/2.png is a link"),
    "a device": (tar_with(link(tarfile.CHRTYPE)), "is not a regular file"),
    "a path out of it": (tar_with(tarfile.TarInfo("../x.png")), "leads out of its folder"),
    "an absolute path": (tar_with(tarfile.TarInfo("/tmp/x.png")), "leads out of its folder"),
    "a path twice": (tar_with(tarfile.TarInfo("CAT/1.png")), "contains CAT/1.png twice"),
    "a huge header": (gzip.compress(huge_header()), "damaged or not safe to read"),
    "cut short": (gzip.compress(tar_with())[:-30], "damaged or not a supported archive"),
    "no archive": (b"something else" * 100, "damaged or not a supported archive"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tars(tmp_path, cache, name):
    content, words = HOSTILE[name]
    (tmp_path / "pets.tar.gz").write_bytes(content)
    with pytest.raises(UserError, match=words):
        load_archive(tmp_path / "pets.tar.gz")
    assert not [path for path in cache.rglob("*") if path.is_file()]


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_bombs(tmp_path, write, monkeypatch):
    """What an archive unpacks to is counted, for zips and tars."""
    monkeypatch.setattr("mocoop.datasets.archive._LEAST", 1_000_000)
    path = write(tmp_path / "pets.zip", {"cat/1.png": b"\0" * 30_000_000, "dog/1.png": b"x"})
    if write is write_zip:
        path.write_bytes(path.read_bytes())
        monkeypatch.setattr("mocoop.datasets.archive._TIMES", 0)
    with pytest.raises(UserError, match="contains more than"):
        load_archive(path.rename(tmp_path / f"pets{'.zip' if write is write_zip else '.tgz'}"))


@pytest.mark.parametrize("path", ["/etc/passwd", "../../secret.png", "C:/secret.png"])
def test_lists_in_archives_stay_inside(tmp_path, path):
    """An uploaded table must not show pictures from elsewhere on the machine."""
    table = f"path,label\nimg/1.png,cat\nimg/2.png,dog\n{path},dog\n".encode()
    files = {"photos.csv": table, "img/1.png": picture_bytes(1), "img/2.png": picture_bytes(2)}
    write_zip(tmp_path / "pets.zip", files)
    with pytest.raises(UserError, match="which is not in the archive"):
        load_dataset(str(tmp_path / "pets.zip"))
    with (tmp_path / "pets.zip").open("rb") as file, pytest.raises(UserError, match="not in the"):
        keep_upload(file, "pets.zip", tmp_path / "data")
    assert not list((tmp_path / "data" / "uploads").iterdir())
