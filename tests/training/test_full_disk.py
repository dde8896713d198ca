"""A disk that is full: a sentence on the page, no half run, and a training that says why."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.jobs import processes, trainings
from mocoop.errors import UserError
from mocoop.runs.run import Run
from mocoop.runs.status import FAILED, FINISHED
from mocoop.runs.writer import queue_run
from mocoop.storage import atomic as files
from mocoop.training.experiment import resume_experiment, run_experiment
from tests.support.page_fixtures import open_page, tiny_config

ROOT = Path(__file__).resolve().parents[2]
FULL = r"No space left on device\. Free some space, or set MOCOOP_RUNS"
# A disk of its own for these commands alone, which goes with them.
FILLS_UP = """
mount -t tmpfs -o size=8m tmpfs "$1" || exit 77
"$2" -m mocoop train --data details --shots 2 --epochs 5000 --run "$1/run" --quiet &
until [ -s "$1/run/resume/state.safetensors" ]; do sleep 0.1; kill -0 $! || exit 1; done
cat /dev/zero > "$1/filler" 2> /dev/null
wait $!
echo "ended with $?" >&2
cat "$1/run/status.json"
"""


@pytest.fixture
def fill_disk(monkeypatch) -> Callable[[int], None]:
    """A function after which only so many more files can be written."""
    write = files.write_text

    def fill(room: int) -> None:
        left = [room]

        def write_text(path: Path, text: str) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(path, text)

        monkeypatch.setattr(files, "write_text", write_text)

    return fill


@pytest.fixture
def children(monkeypatch) -> list[subprocess.Popen]:
    """The trainings' processes, which have to end by themselves."""
    started: list[subprocess.Popen] = []

    class Remembered(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(processes.subprocess, "Popen", Remembered)
    return started


@pytest.mark.parametrize("room", [0, 1, 2])  # status, settings, status with the process's number
def test_start_is_refused_in_words_and_leaves_nothing(empty_runs, fill_disk, children, room):
    app = open_page("pages/train.py")
    fill_disk(room)
    app.button(key="start").click().run()
    assert not app.exception
    assert "No space left on device. Free some space" in app.error[0].value
    assert list(empty_runs.iterdir()) == []
    assert "Press **Start training**" in "".join(text.value for text in app.markdown)
    assert len(children) == (room == 2)
    for child in children:
        assert child.wait(60) == 0  # nobody's run, so it goes


def test_folder_that_cannot_be_written_to_is_told(empty_runs, monkeypatch):
    make = Path.mkdir

    def mkdir(path: Path, *arguments, **options) -> None:
        if path.is_relative_to(empty_runs):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        make(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(UserError, match=r"Permission denied\. Make it writable, or set MOCOOP_R"):
        trainings.start_run(tiny_config())


def test_other_errors_are_not_called_a_full_disk(tmp_path):
    with pytest.raises(FileNotFoundError), files.explain_write_errors(tmp_path):
        (tmp_path / "nowhere").read_text()
    with pytest.raises(PermissionError), files.explain_write_errors(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied", "/somewhere/else.png")


def test_a_file_in_the_folders_place_is_told(tmp_path):
    (tmp_path / "cache").write_text("a file")
    for folder in (tmp_path / "cache/downloads/one", tmp_path / "cache"):
        with (
            pytest.raises(UserError, match=r"Remove the file in its place, or set MOCOOP_CACHE"),
            files.explain_write_errors(folder, "MOCOOP_CACHE"),
        ):
            folder.mkdir(parents=True, exist_ok=True)


def test_run_that_cannot_go_on_stays_as_it_was(empty_runs, monkeypatch, fill_disk):
    monkeypatch.setattr("mocoop.training.experiment.SNAPSHOT_SECONDS", 0)
    training = run_experiment(tiny_config(), empty_runs / "run")
    next(training), next(training)
    training.close()
    run = Run(empty_runs / "run")
    before = run.status()
    fill_disk(0)
    with pytest.raises(UserError, match=FULL):
        trainings.resume_run(run)
    assert run.status() == before


def test_training_says_why_it_failed_and_goes_on_later(empty_runs, monkeypatch, fill_disk):
    monkeypatch.setattr("mocoop.training.experiment.SNAPSHOT_SECONDS", 0)
    run = queue_run(empty_runs / "run")
    training = run_experiment(tiny_config(), run.path)
    assert [next(training).epoch, next(training).epoch] == [0, 1]
    fill_disk(0)
    with pytest.raises(UserError, match=FULL):
        next(training)
    assert run.status().state == FAILED
    assert "No space left on device" in run.status().message
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".")] == []
    fill_disk(1000)
    assert trainings.resumes_after(run) is not None
    list(resume_experiment(run.path))
    assert run.status().state == FINISHED


def test_waiting_run_says_why_it_could_not_begin(empty_runs, fill_disk):
    run = queue_run(empty_runs / "run")
    fill_disk(0)
    with pytest.raises(UserError, match=FULL):
        list(run_experiment(tiny_config(), run.path))
    assert run.status().state == FAILED
    assert "No space left on device" in run.status().message


def test_command_leaves_no_empty_folder(empty_runs, fill_disk):
    fill_disk(0)
    with pytest.raises(UserError, match=FULL):
        list(run_experiment(tiny_config(), empty_runs / "run"))
    assert list(empty_runs.iterdir()) == []


@pytest.mark.long
def test_a_real_disk_that_fills_up(workspace, tmp_path):
    isolated = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    command = [*isolated, "sh", "-c", FILLS_UP, "sh", str(tmp_path), sys.executable]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if done.returncode != 0 and "ended with" not in done.stderr:
        pytest.skip(f"no disk of one's own here: {done.stderr}")
    assert "ended with 2" in done.stderr
    assert "Traceback" not in done.stderr
    status = json.loads(done.stdout)
    assert status["state"] == FAILED
    assert "No space left on device. Free some space" in status["message"]
    assert status["epoch"] > 0
