"""Full disks, killed processes, names that are taken: a sentence, and nothing half done stays."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from app.ui.parts import _as_csv
from mocoop.assets import asset
from mocoop.cli import lab_grid, protocols
from mocoop.cli.main import main
from mocoop.csv_cells import csv_cell, from_csv_cell
from mocoop.errors import UserError
from mocoop.results.rows import Row, from_csv, to_csv
from mocoop.runs.export_zip import archive_bytes, write_archive
from mocoop.runs.import_zip import read_archive
from mocoop.runs.paths import protocol_runs
from mocoop.runs.run import Run
from mocoop.runs.writer import RunWriter
from mocoop.storage.atomic import remove_of_killed, temporary_prefix, write_text
from mocoop.training.snapshots import Snapshot, load_snapshot, same_threads, save_snapshot
from tests.runs.test_zips import entries

SHIPPED = asset("runs") / "albums-coop-16shot"


@pytest.fixture
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "is full: free some space"), (errno.EROFS, "cannot be used")],
)
def test_pack_and_export_say_that_nothing_can_be_written(
    tmp_path, monkeypatch, capsys, code, words
):
    def fail(dir, prefix):
        raise OSError(code, os.strerror(code), f"{dir}/{prefix}x")

    monkeypatch.setattr("mocoop.storage.atomic.tempfile.mkstemp", fail)
    out = tmp_path / "out"
    out.mkdir()
    for command in (["pack", str(SHIPPED), "--out", str(out / "run.zip")],
                    ["export", str(SHIPPED), "--out", str(out), "--no-onnx"]):  # fmt: skip
        assert main(command) == 2
        told = capsys.readouterr().err
        assert words in told
        assert str(out) in told
    assert list(out.iterdir()) == []


def test_what_killed_processes_left_is_removed(tmp_path, dead):
    mine = tmp_path / f"{temporary_prefix('q1.zip')}abcdefgh"
    theirs = tmp_path / f".q1.zip.{dead}-abcdefgh"
    other = tmp_path / f".q2.zip.{dead}-abcdefgh"
    importing = tmp_path / "runs" / ".importing" / f"..{dead}-abcdefgh"
    for path in (mine, theirs, other):
        path.write_text("half")
    (importing / "deep").mkdir(parents=True)
    write_archive(Run(SHIPPED), tmp_path / "q1.zip")
    assert not theirs.exists()
    assert mine.exists()
    assert other.exists()
    run = read_archive(tmp_path / "q1.zip", tmp_path / "runs")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [run.name]
    remove_of_killed(tmp_path)
    assert not other.exists()
    assert mine.exists()


def test_a_killed_process_leaves_a_name_that_is_recognised(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from mocoop.storage.atomic import atomic_write\n"
        "with atomic_write(Path(sys.argv[1])) as file:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "a.zip"], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    remove_of_killed(tmp_path, "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_export_goes_on_in_the_folder_of_a_killed_one(tmp_path, dead, capsys):
    out = tmp_path / "out"
    out.mkdir()
    for name in (".unfinished-export", "head.onnx", "classifier.onnx"):
        (out / name).write_text("half")
    (out / f".README.md.{dead}-abcdefgh").write_text("half")
    assert main(["export", str(SHIPPED), "--out", str(out), "--no-onnx"]) == 0
    assert {path.name for path in out.iterdir()} == {
        "README.md", "classifier.json", "classifier.safetensors"
    }  # fmt: skip
    assert main(["export", str(SHIPPED), "--out", str(out), "--no-onnx"]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_an_export_leaves_the_users_files_alone(tmp_path, capsys, monkeypatch):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "README.md").write_text("mine")
    command = ["export", str(SHIPPED), "--no-onnx", "--out"]
    assert main([*command, str(tmp_path / "own")]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert (tmp_path / "own" / "README.md").read_text() == "mine"
    monkeypatch.setattr("mocoop.classifiers.export.classifier_card", _full_disk)
    for name in ("new", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert main([*command, str(tmp_path / name)]) == 2
    assert list((tmp_path / "empty").iterdir()) == []
    assert not (tmp_path / "new").exists()


def _full_disk(*given):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_names_of_folders_of_runs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path))
    packed = archive_bytes(Run(SHIPPED))
    for name in ("protocol", "lab-grid"):
        with pytest.raises(UserError, match="cannot be called"):
            read_archive(io.BytesIO(packed), None, name)
        with pytest.raises(UserError, match="cannot be called"):
            RunWriter(tmp_path / name)
    assert not (tmp_path / "protocol").exists()


def test_protocols_honour_the_folder_of_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path))
    assert protocol_runs() == tmp_path / "protocol"
    for module in (protocols, lab_grid):
        assert 'Path("runs' not in Path(module.__file__).read_text()
    asked = []

    def make_grid(axes, root, out, engine):
        asked.append(root)
        return []

    monkeypatch.setattr("mocoop.protocols.lab_grid.make_grid", make_grid)
    with pytest.raises(FileNotFoundError):  # there is no finished grid to measure
        lab_grid.lab_grid(lab_grid.LabGridCommand(out=tmp_path / "out"))
    assert asked == [tmp_path / "lab-grid"]


def test_a_packed_run_does_not_tell_where_the_data_were(tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "own")
    file = tmp_path / "own" / "config.json"
    values = json.loads(file.read_text())
    values["config"]["data"] = "/home/me/secret/pets"
    file.write_text(json.dumps(values))
    content = entries(archive_bytes(Run(tmp_path / "own")))
    assert not any(b"/home/me" in part for part in content.values())
    run = read_archive(io.BytesIO(archive_bytes(Run(tmp_path / "own"))), tmp_path / "runs")
    assert run.setup().config.data == "pets"


def test_csv_holds_no_formula():
    evil = '=HYPERLINK("http://x.example";"y")'
    row = Row("few-shot", evil, "@a", "+cmd|' /C calc'!A0", 16, 1, "accuracy", -1.5)
    text = to_csv([row])
    assert f"'{evil[:10]}" in text
    assert from_csv(text) == (row,)
    table = _as_csv(pd.DataFrame({evil: ["-x", "y"], "n": [-1, 2]}), index=False).decode()
    assert table.splitlines()[0].startswith("\"'=HYPER")
    assert table.splitlines()[1:] == ["'-x,-1", "y,2"]
    for text in ("'x", "'=x", "''=x", "'", "=x"):
        assert from_csv_cell(str(csv_cell(text))) == text


def test_a_resumed_training_has_the_threads_of_its_start(tmp_path):
    usual = torch.get_num_threads()
    save_snapshot(tmp_path, Snapshot(3, 1.0, "print", {"generator": torch.zeros(2)}, usual + 1))
    loaded = load_snapshot(tmp_path)
    assert loaded.threads == usual + 1
    with same_threads(loaded):
        assert torch.get_num_threads() == usual + 1
    assert torch.get_num_threads() == usual


def test_files_are_written_whole(tmp_path):
    write_text(tmp_path / "a.txt", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
