"""Unpacked archives: bounded, never removed while in use; the user's changes outlive them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys

import pytest

from mocoop.catalog.change_stamp import data_stamp
from mocoop.cli.main import main
from mocoop.datasets import check_name, load_dataset
from mocoop.datasets.edits import Edits, write_edits
from mocoop.datasets.skip_list import add_skipped
from mocoop.errors import UserError
from mocoop.storage.unpacked import (
    clear,
    describe,
    make_room,
    most_bytes,
    unpacked_archives,
    unpacked_root,
)
from tests.files.archives import contents, write_tar, write_zip
from tests.support.image_files import picture_bytes


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def names():
    return [os.path.basename(one.archive) for one in unpacked_archives()]


def unpack(tmp_path, *numbers):
    """Unpacks archives, the first of which was used longest ago."""
    for number in numbers:
        load_dataset(str(write_zip(tmp_path / f"{number}.zip", contents("parts"))))
        (one,) = [one for one in unpacked_archives() if one.archive.endswith(f"{number}.zip")]
        time = 1_700_000_000 + number
        os.utime(f"{one.folder}.used", (time, time))


def test_the_oldest_are_removed_first(tmp_path):
    unpack(tmp_path, 3, 1, 2)
    sizes = [one.size for one in unpacked_archives()]
    assert names() == ["1.zip", "2.zip", "3.zip"]
    removed = make_room(unpacked_root(), 2 * sizes[0], tmp_path / "4.zip")
    assert [one.folder.exists() for one in removed] == [False]
    assert names() == ["2.zip", "3.zip"]
    assert len(list(unpacked_root().iterdir())) == 2 * 4  # folder, .used, .json, .lock


def test_opening_one_makes_room_and_keeps_what_is_in_use(tmp_path, monkeypatch):
    held = load_dataset(str(write_zip(tmp_path / "held.zip", contents("parts"))))
    unpack(tmp_path, 1, 2)
    monkeypatch.setenv("MOCOOP_UNPACKED_GB", "0.0000001")
    newest = load_dataset(str(write_tar(tmp_path / "new.tar.gz", contents("parts"))))
    assert sorted(names()) == ["held.zip", "new.tar.gz"]
    for data in (held, newest):
        assert data.image(data.items("test")[0]).size == (6, 5)
    assert all(one.in_use for one in unpacked_archives())
    del data, held
    assert [one.in_use for one in unpacked_archives()] == [False, True]
    assert [os.path.basename(one.archive) for one in clear()] == ["held.zip"]


def test_another_process_counts_and_so_do_copies(tmp_path):
    path = write_zip(tmp_path / "pets.zip", contents("parts"))
    code = (
        "import sys; from mocoop.datasets import load_dataset\n"
        "data = load_dataset(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "open\n"
        assert clear() == []
        assert [one.in_use for one in unpacked_archives()] == [True]
        process.stdin.close()
        assert process.wait() == 0
    copy = pickle.loads(pickle.dumps(load_dataset(str(path))))
    assert clear() == []
    del copy
    assert len(clear()) == 1
    assert list(unpacked_root().iterdir()) == []


def test_earlier_contents_of_an_archive_go_at_once(tmp_path):
    path = write_zip(tmp_path / "pets.zip", contents("parts"))
    load_dataset(str(path))
    write_zip(path, contents("wrapped"))
    load_dataset(str(path))
    assert len(unpacked_archives()) == 1


def test_what_was_cut_off_is_removed(tmp_path):
    unpack(tmp_path, 1)
    for name in (".removed-abc/content", ".pets-0123.xyz"):
        (unpacked_root() / name).mkdir(parents=True)
        (unpacked_root() / name / "a.png").write_bytes(b"x")
    unknown = unpacked_root() / "old-0123"  # of a version that wrote nothing beside it
    unknown.mkdir()
    (unknown / "a.png").write_bytes(b"abc")
    assert sorted((one.archive[-5:], one.size) for one in unpacked_archives())[0] == ("", 3)
    make_room(unpacked_root(), 10**9, tmp_path / "2.zip")
    left = {path.name for path in unpacked_root().iterdir() if path.is_dir()}
    assert left == {"old-0123", unpacked_archives()[0].folder.name}
    assert len(clear()) == 2


@pytest.mark.parametrize("given", ["much", "-1", "nan"])
def test_a_size_that_is_none(given, monkeypatch, tmp_path):
    monkeypatch.setenv("MOCOOP_UNPACKED_GB", given)
    with pytest.raises(UserError, match="expected a number of GB"):
        most_bytes()
    with pytest.raises(UserError, match="expected a number of GB"):
        load_dataset(str(write_zip(tmp_path / "pets.zip", contents("parts"))))


def test_the_command(tmp_path, capsys):
    unpack(tmp_path, 1, 2)
    held = load_dataset(str(tmp_path / "2.zip"))
    assert main(["data", "unpacked"]) == 0
    out = capsys.readouterr().out
    assert "2023-11-14" in out
    assert "in use" in out
    assert "2 archives" in out
    assert "at most 50 GB are kept" in out
    assert main(["data", "unpacked", "--clear", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [os.path.basename(one["archive"]) for one in values["removed"]] == ["1.zip"]
    assert [os.path.basename(one["archive"]) for one in values["archives"]] == ["2.zip"]
    del held
    assert main(["data", "unpacked", "--clear"]) == 0
    assert "removed: 1 archive, " in capsys.readouterr().out


def test_a_size_is_written_once(tmp_path):
    folder = tmp_path / "pets-0123"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"abcd")
    describe(folder, tmp_path / "pets.zip")
    assert json.loads((tmp_path / "pets-0123.json").read_text())["size"] == 4


@pytest.mark.parametrize("kind", ["parts", "wrapped", "table", "split file"])
def test_changes_are_beside_the_archive_and_stay(tmp_path, kind):
    """They stay when the archive changes, and when the cache is emptied."""
    path = write_zip(tmp_path / "pets.zip", contents(kind))
    data = load_dataset(str(path))
    assert data.edits_folder == tmp_path / "pets.zip.mocoop"
    assert not data.edits_folder.exists()
    stamp = data_stamp(str(path))
    skipped = data.items("test")[0].id
    write_edits(data.edits_folder, Edits({"cat": "tomcat"}, white=4095.0))
    add_skipped(data.edits_folder, {skipped: "blurred"})
    assert data_stamp(str(path)) != stamp
    del data
    clear()
    write_zip(path, contents(kind) | {"readme.txt": b"another content"})
    changed = load_dataset(str(path))
    assert changed.class_names == ("tomcat", "dog", "emu")
    assert changed.left_out == 1
    assert skipped not in [item.id for item in changed.items("test")]
    check_name(str(path))
    (tmp_path / "pets.zip.mocoop" / "mocoop.yaml").write_text("klasses: {}")
    with pytest.raises(UserError, match="unknown key 'klasses'"):
        check_name(str(path))


def test_changes_inside_of_the_archive_count_until_there_are_others(tmp_path):
    inside = {"mocoop.yaml": b"classes: {cat: tomcat}\nzero_shot: a drawing of a {}.\n"}
    inside["mocoop-skip.jsonl"] = b'{"image": "test/emu/0.png", "reason": "cut"}\n'
    path = write_zip(tmp_path / "pets.zip", contents("parts") | inside)
    data = load_dataset(str(path))
    assert data.class_names == ("tomcat", "dog", "emu")
    assert data.left_out == 1
    # What the app writes is based on what counted before.
    before = data.edits()
    write_edits(data.edits_folder, Edits({"emu": "bird"}, before.zero_shot))
    add_skipped(data.edits_folder, {"test/emu/1.png": "blurred"})
    changed = load_dataset(str(path))
    assert changed.class_names == ("cat", "dog", "bird")
    assert changed.templates.zero_shot == "a drawing of a {}."
    assert changed.left_out == 2


def test_the_folder_of_changes_is_no_class(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "pets" / name / f"{number}.png").write_bytes(picture_bytes(name + "1"))
    (tmp_path / "pets" / "old.zip.mocoop").mkdir()
    assert load_dataset(str(tmp_path / "pets")).class_names == ("cat", "dog")
