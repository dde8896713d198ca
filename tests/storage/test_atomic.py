"""Where a file is written that is a link, a pipe, or an open file such as /dev/stdout."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mocoop.cli.output_paths import check_file
from mocoop.errors import UserError
from mocoop.storage.atomic import atomic_write, write_json, write_text

_SCRIPT = (
    "from pathlib import Path\n"
    "from mocoop.storage.atomic import write_text\n"
    "print('before')\n"
    "write_text(Path({path!r}), 'table\\n')\n"
    "print('after')\n"
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="the files are Linux's")


def test_the_file_behind_a_link_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "table.csv").write_text("old")
    (tmp_path / "middle").symlink_to("far/table.csv")
    (tmp_path / "link.csv").symlink_to("middle")
    with atomic_write(tmp_path / "link.csv") as temporary:
        assert temporary.parent == tmp_path / "far"  # the same disk as the file
        temporary.write_text("new")
        assert (tmp_path / "link.csv").read_text() == "old"
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "middle").is_symlink()
    assert (tmp_path / "far" / "table.csv").read_text() == "new"
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["table.csv"]


def test_a_link_to_nothing_yet(tmp_path):
    (tmp_path / "link.csv").symlink_to("new.csv")
    check_file("--csv", tmp_path / "link.csv")
    write_text(tmp_path / "link.csv", "new")
    assert (tmp_path / "new.csv").read_text() == "new"
    (tmp_path / "lost.csv").symlink_to("missing/new.csv")
    with pytest.raises(UserError, match=r"--csv .*: the folder .*missing does not exist"):
        check_file("--csv", tmp_path / "lost.csv")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_written_into(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    check_file("--csv", pipe)
    write_json(pipe, {"classes": 3})
    reader.join(10)
    assert read == ['{\n  "classes": 3\n}\n']
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


@linux
@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
@pytest.mark.parametrize("into_a_file", [True, False])
def test_what_is_printed_and_what_is_written_stay_in_order(tmp_path, path, into_a_file):
    (tmp_path / "link").symlink_to("/dev/stdout")
    command = [sys.executable, "-c", _SCRIPT.format(path=path)]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    if into_a_file:
        with (tmp_path / "out").open("wb") as out:
            subprocess.run(command, stdout=out, cwd=tmp_path, check=True, env=environment)
        text = (tmp_path / "out").read_text()
    else:
        text = subprocess.check_output(command, cwd=tmp_path, text=True, env=environment)
    assert text == "before\ntable\nafter\n"


def test_devices(tmp_path):
    (tmp_path / "null").symlink_to(os.devnull)
    check_file("--csv", Path(os.devnull))
    write_text(tmp_path / "null", "gone")
    assert (tmp_path / "null").is_symlink()
    assert not Path(os.devnull).is_file()


@linux
def test_what_cannot_be_written_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
        for write in (
            lambda: check_file("--csv", Path("socket")),
            lambda: write_text(Path("socket"), ""),
        ):
            with pytest.raises(UserError, match="socket is a socket: expected a file"):
                write()
    read, write_end = os.pipe()
    with pytest.raises(UserError, match="is not open for writing"):
        write_text(Path(f"/dev/fd/{read}"), "table")
    os.close(read)
    os.close(write_end)


def _failing(path):
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        raise ValueError("stopped")


def test_an_error_sends_nothing():
    read, write_end = os.pipe()
    with pytest.raises(ValueError, match="stopped"):
        _failing(Path(f"/dev/fd/{write_end}"))
    os.close(write_end)
    assert os.read(read, 10) == b""
    os.close(read)
