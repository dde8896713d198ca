"""Untrusted archives: safe ones are extracted, all others are refused and leave nothing."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import tarfile
import zipfile

import pytest

from mocoop.errors import UserError
from mocoop.storage.archives import (
    Limits,
    UntrustedZip,
    extract_trusted,
    extract_zip,
    new_folder,
    untrusted_zip,
)
from tests.support.image_files import picture_bytes

LIMITS = Limits(entries=20, unpacked=100_000)


def zipped(files, compression=zipfile.ZIP_DEFLATED):
    """Returns a zip with a content for each name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    buffer.seek(0)
    return buffer


def names_in(folder):
    """Returns the paths of all files below a folder."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def refused(tmp_path, source, message):
    """Makes sure that a zip is refused and nothing is left of it."""
    with pytest.raises(UserError, match=message):
        extract_zip(source, tmp_path / "set", LIMITS, "pets.zip")
    assert list(tmp_path.iterdir()) == []


def test_class_folders(tmp_path):
    files = {f"{name}/{n}.png": picture_bytes(n) for name in ("cat", "dog") for n in range(2)}
    extract_zip(zipped(files), tmp_path / "set", LIMITS)
    assert names_in(tmp_path / "set") == sorted(files)
    assert (tmp_path / "set/cat/0.png").read_bytes() == files["cat/0.png"]
    assert list(tmp_path.iterdir()) == [tmp_path / "set"]


def test_what_systems_add_is_left_out(tmp_path):
    files = {
        "My pets/": b"",
        "My pets/pets/cat/1.png": b"x",
        "My pets/pets/dog/1.png": b"y",
        "__MACOSX/My pets/pets/cat/._1.png": b"junk",
        "My pets/.DS_Store": b"junk",
        "My pets/pets/cat/Thumbs.db": b"junk",
    }
    extract_zip(zipped(files), tmp_path / "set", LIMITS)
    assert names_in(tmp_path / "set") == ["My pets/pets/cat/1.png", "My pets/pets/dog/1.png"]


@pytest.mark.parametrize(
    ("raw", "name"), [("caf\u00e9".encode(), "caf\u00e9"), (b"caf\x82s", "caf\u00e9s")]
)
def test_names_without_the_mark_of_utf8(tmp_path, raw, name):
    """Many programs write UTF-8 without saying so; others really mean the old code page."""
    assert len(raw) == 5
    source = zipped({"AAAAA/1.png": b"x"}).getvalue().replace(b"AAAAA", raw)
    extract_zip(io.BytesIO(source), tmp_path / "set", LIMITS)
    assert names_in(tmp_path / "set") == [f"{name}/1.png"]


@pytest.mark.parametrize(
    "name", ["../out.png", "cat/../../out.png", "/etc/out.png", "C:/out.png", "..\\out.png"]
)
def test_paths_that_lead_out(tmp_path, name):
    refused(
        tmp_path, zipped({"cat/1.png": b"x", name: b"y"}), "pets.zip is not safe: .* leads out"
    )


def test_too_many_entries(tmp_path):
    files = {f"cat/{n}.png": b"x" for n in range(21)}
    refused(tmp_path, zipped(files), "has 21 entries; at most 20 are allowed")


def test_a_bomb_is_stopped_by_what_it_unpacks_to(tmp_path):
    """Whatever sizes the zip claims."""
    bomb = bytearray(zipped({"cat/1.png": b"\0" * 10_000_000}).getvalue())
    assert len(bomb) < 20_000
    refused(tmp_path, io.BytesIO(bomb), "contains more than 9.31323e-05 GB of files")
    for claimed in (90_000, 10):
        honest, lie = struct.pack("<I", 10_000_000), struct.pack("<I", claimed)
        refused(tmp_path, io.BytesIO(bytes(bomb).replace(honest, lie)), "contains more|damaged")


def test_what_is_unpacked_is_counted(tmp_path):
    source = zipped({"cat/1.png": b"x" * 100})
    with untrusted_zip(source, "pets.zip", "Make it again.", LIMITS) as archive:
        (path,) = archive.entries
        size, digest = archive.extract(path, tmp_path / "1.png", 100)
        assert (size, digest) == (100, hashlib.sha256(b"x" * 100).hexdigest())
        assert archive.read(path) == b"x" * 100
        with pytest.raises(UserError, match=r"contains more than .* of files. Make it again"):
            archive.extract(path, tmp_path / "2.png", 99)


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_no_plain_file(tmp_path, kind):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("cat/1.png")
        entry.external_attr = (kind | 0o644) << 16
        archive.writestr(entry, "x")
    refused(tmp_path, buffer, "cat/1.png is not a regular file")


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_unusual_ways_of_packing(tmp_path, compression):
    """Their readers take memory by what the file says."""
    refused(tmp_path, zipped({"cat/1.png": b"x"}, compression), "has an unusual compression")


def test_a_link(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("cat/1.png")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    refused(tmp_path, buffer, "cat/1.png is a link")


def test_the_same_name_twice(tmp_path):
    files = {"cat/1.png": b"x", "Cat/1.PNG": b"y"}
    refused(tmp_path, zipped(files), "contains Cat/1.PNG twice")


def test_no_zip_and_damaged_ones(tmp_path):
    refused(tmp_path, io.BytesIO(b"not a zip at all"), "is damaged or not a supported archive")
    refused(tmp_path, io.BytesIO(b""), "is damaged or not a supported archive")
    whole = zipped({"cat/1.png": os.urandom(2000)}, zipfile.ZIP_STORED).getvalue()
    refused(tmp_path, io.BytesIO(whole[:1000]), "is damaged or not a supported archive")
    changed = whole[:500] + bytes(100) + whole[600:]
    refused(tmp_path, io.BytesIO(changed), "damaged .*CRC")
    refused(tmp_path, zipped({"__MACOSX/a": b"x"}), "contains no file")


def test_encrypted(tmp_path):
    data = bytearray(zipped({"cat/1.png": b"x"}).getvalue())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    refused(tmp_path, io.BytesIO(bytes(data)), "is encrypted")


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(UntrustedZip, "extract", _no_space)
    refused(tmp_path, zipped({"cat/1.png": b"x"}), "No space left on device. Nothing of it was")


def _no_space(*args):
    raise OSError(28, "No space left on device")


def test_what_is_there_already_is_kept(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(UserError, match="exists already"):
        extract_zip(zipped({"cat/1.png": b"x"}), tmp_path / "set", LIMITS)


def test_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(UserError, match=r"Nothing can be written to .*MOCOOP_DATA"),
        new_folder(tmp_path / "file" / "set"),
    ):
        pass


def tarred(path, *members):
    """Writes a tar of (TarInfo, content) pairs."""
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_tar(tmp_path):
    source = tarred(tmp_path / "set.tgz", (tarfile.TarInfo("images/1.jpg"), b"abc"))
    extract_trusted(source, tmp_path / "out")
    assert (tmp_path / "out/images/1.jpg").read_bytes() == b"abc"


def test_tar_that_leads_out(tmp_path):
    source = tarred(tmp_path / "set.tgz", (tarfile.TarInfo("../1.jpg"), b"abc"))
    with pytest.raises(UserError, match=r"set.tgz is not safe to extract"):
        extract_trusted(source, tmp_path / "out")
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    source = tarred(tmp_path / "set.tgz", (link, b""))
    with pytest.raises(UserError, match="not safe"):
        extract_trusted(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["set.tgz"]


def test_tar_that_is_cut_short(tmp_path):
    source = tarred(tmp_path / "set.tgz", (tarfile.TarInfo("1.jpg"), os.urandom(5000)))
    source.write_bytes(source.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"set.tgz is damaged or not a supported archive"):
        extract_trusted(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["set.tgz"]


def test_a_zip_whose_list_of_files_points_before_its_start_is_refused(tmp_path):
    cut = io.BytesIO(zipped({"cat/1.png": b"x"}).getvalue()[8:])  # the file seems to begin at -8
    with pytest.raises(UserError, match="is damaged or not a supported archive"):
        extract_zip(cut, tmp_path / "new", LIMITS)
    assert list(tmp_path.iterdir()) == []
