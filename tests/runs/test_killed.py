"""What is left when a process is killed, a clock is set, or a folder is deleted, is no trouble.

`python -m tests.torture` kills real processes at random moments; what it found is here.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
import torch

from mocoop.catalog import uploads
from mocoop.errors import UserError
from mocoop.protocols import lab_grid, runner
from mocoop.runs.export_zip import archive_bytes
from mocoop.runs.run import Run, new_run_path
from mocoop.runs.status import INTERRUPTED, RUNNING, STATUS_FILE, Status, identity, read_status
from mocoop.runs.writer import RunWriter
from mocoop.storage.archives import new_folder
from mocoop.storage.atomic import atomic_write, remove_of_killed, temporary_prefix, write_json
from mocoop.storage.shards import Shards
from mocoop.storage.temporary_folder import TemporaryFolder
from mocoop.training.experiment import run_experiment
from mocoop.training.snapshots import FOLDER, drop_needless_snapshots
from tests.files.archives import contents, write_zip
from tests.runs.test_zips import entries
from tests.support.page_fixtures import tiny_config


@pytest.fixture
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def half(dead, tmp_path):
    """A function that makes what a killed process left in a folder, and returns its path."""

    def make(folder: Path, name: str) -> Path:
        begin = temporary_prefix(name).rpartition(".")[0]
        path = folder / f"{begin}.{dead}-abcdefgh"
        path.mkdir(parents=True)
        (path / "half").write_text("half")
        return path

    return make


def test_the_next_run_of_the_name_removes_it_from_one_that_nobody_continues(tmp_path, half):
    config = tiny_config()
    first = new_run_path(config, tmp_path)
    left = half(first, "features.safetensors")
    state = half(first / FOLDER, "state.safetensors")
    (first / "config.json").write_text("{}")
    assert new_run_path(config, tmp_path).name.removesuffix("-002") + "-001" == first.name
    assert not left.exists()
    assert not state.exists()
    assert (first / "config.json").exists()


def test_a_protocol_removes_it_from_a_run_that_it_trains_anew(tmp_path, half):
    state = half(tmp_path / "run" / FOLDER, "state.safetensors")
    (tmp_path / "run" / "config.json").write_text("{}")
    assert runner._free_path(tmp_path, "run") == tmp_path / "run-1"
    assert not state.exists()


def test_the_next_archive_shard_or_training_of_the_lab_removes_it(tmp_path, half, monkeypatch):
    left = [half(tmp_path / name, "other") for name in ("archives", "shards", "lab", "file")]
    with new_folder(tmp_path / "archives" / "new"):
        pass
    Shards(tmp_path / "shards").add([b"k" * 16], torch.zeros(1, 2))

    def stop(config, folder):
        raise UserError("enough")

    monkeypatch.setattr("mocoop.training.experiment.run_experiment", stop)
    with pytest.raises(UserError, match="enough"):
        lab_grid.train_part(tiny_config(), tmp_path / "lab" / "part.safetensors")
    assert list((tmp_path / "lab").iterdir()) == []
    with atomic_write(tmp_path / "file" / "other"):
        pass
    assert not [path for path in left if path.exists()]


def test_a_temporary_folder_of_a_killed_process_is_removed_by_the_next(
    tmp_path, half, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = half(tmp_path, "mocoop")
    folder = TemporaryFolder()
    assert not left.exists()
    assert folder.path.is_dir()
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_process_of_another_machine_writes_is_left_alone(tmp_path, dead, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "other")
    theirs = tmp_path / f"{temporary_prefix('a').rpartition('.')[0]}.{dead}-abcdefgh"
    theirs.write_text("being written")
    monkeypatch.undo()
    remove_of_killed(tmp_path)
    assert theirs.exists()


def test_a_protocol_passes_over_a_run_that_was_killed_before_its_status(tmp_path, half):
    (tmp_path / "run").mkdir()
    half(tmp_path / "run", STATUS_FILE)
    assert runner._finished(tmp_path, "run") is None
    assert runner._resumed(tmp_path, "run") is None
    assert runner._free_path(tmp_path, "run") == tmp_path / "run"
    (tmp_path / "run" / STATUS_FILE).write_text("{")
    assert runner._finished(tmp_path, "run") is None
    assert runner._free_path(tmp_path, "run") == tmp_path / "run-1"


def test_an_upload_gets_its_name_only_after_it_was_checked(tmp_path, monkeypatch):
    packed = write_zip(tmp_path / "pets.zip", contents("parts")).read_bytes()
    load, seen = uploads.load_extracted, []

    def look(*arguments):
        seen.append(uploads.uploaded_sets(tmp_path))
        return load(*arguments)

    monkeypatch.setattr(uploads, "load_extracted", look)
    made = uploads.keep_upload(io.BytesIO(packed), "pets.zip", tmp_path)
    assert seen == [[], [Path(made.source)]]
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == ["pets"]


def test_a_process_is_the_same_after_the_clock_was_set(tmp_path):
    """psutil's start of a process moves with the clock on Linux: a training seemed dead."""
    if not sys.platform.startswith("linux"):
        pytest.skip("other systems remember the time of day at which a process started")
    status = Status(RUNNING, **identity(psutil.Process()))
    an_hour_off = replace(status, process_started=status.process_started - 3600)
    write_json(tmp_path / STATUS_FILE, asdict(an_hour_off))
    assert read_status(tmp_path).state == RUNNING
    write_json(tmp_path / STATUS_FILE, asdict(replace(status, process_mark="another boot 1")))
    assert read_status(tmp_path).state == INTERRUPTED
    earlier_version = replace(an_hour_off, process_mark="", process_started=status.process_started)
    write_json(tmp_path / STATUS_FILE, asdict(earlier_version))
    assert read_status(tmp_path).state == RUNNING


def test_a_packed_run_can_be_read_by_versions_that_know_no_marks(finished_run):
    packed = entries(archive_bytes(finished_run))
    (status,) = [json.loads(data) for name, data in packed.items() if name.endswith(STATUS_FILE)]
    assert "process_mark" not in status


def test_a_run_whose_folder_is_deleted_stops_and_leaves_nothing(empty_runs):
    path = empty_runs / "run"
    training = run_experiment(replace(tiny_config(), epochs=5), path)
    next(training)
    shutil.rmtree(path)
    with pytest.raises(UserError, match=r"was deleted while the run was trained\. Train it again"):
        list(training)
    assert list(empty_runs.iterdir()) == []


def test_a_writer_without_its_folder_fails_in_silence(tmp_path):
    writer = RunWriter(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    writer.fail("because")
    assert list(tmp_path.iterdir()) == []


def test_the_next_run_deletes_the_snapshot_of_a_finished_one(tmp_path, finished_run):
    shutil.copytree(finished_run.path, tmp_path / "done")
    RunWriter(tmp_path / "going")
    for name in ("done", "going"):
        (tmp_path / name / FOLDER).mkdir()
    drop_needless_snapshots(tmp_path)
    assert not (tmp_path / "done" / FOLDER).exists()
    assert (tmp_path / "going" / FOLDER).exists()
    assert Run(tmp_path / "done").status().state == "finished"
