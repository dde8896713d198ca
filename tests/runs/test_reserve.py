"""Processes that start at once never share a run's folder, and failures leave nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import psutil
import pytest

from mocoop.api import train
from mocoop.cli.devices import _hand_over
from mocoop.cli.main import main
from mocoop.errors import UserError
from mocoop.protocols.plans import Plan, tasks
from mocoop.protocols.runner import _free_path, finish_unless_taken, run_name, run_tasks
from mocoop.runs.reserve import reserve, reserved, reserved_at
from mocoop.runs.run import Run, list_runs, new_run_path
from mocoop.runs.status import (
    CANCELLED,
    FINISHED,
    INTERRUPTED,
    QUEUED,
    RUNNING,
    Status,
    identity,
    write_status,
)
from mocoop.runs.writer import RunWriter
from tests.support.page_fixtures import tiny_config

PROTOCOL = ["protocol", "few-shot", "--data", "details", "--methods", "coop", "zero-shot"]
PROTOCOL += ["--shots", "1", "--seeds", "1", "2", "--epochs", "4"]
TRAIN = ["train", "--data", "details", "--method", "coop", "--shots", "1", "--epochs", "1"]


@pytest.fixture
def of_another(tmp_path):
    """A function that makes a run that the process which started the tests seems to train."""

    def make(path, state=RUNNING):
        path.mkdir(parents=True)
        parent = psutil.Process(os.getppid())
        write_status(path, Status(state, started=1.0, updated=1.0, **identity(parent)))
        return path

    return make


def short_tasks():
    """Returns three tasks that are done in a moment."""
    found = tasks(Plan("few-shot", ("details",), ("coop", "zero-shot"), (1,), (1, 2)))
    return [replace(task, config=replace(task.config, epochs=0 if task.config.epochs == 0 else 1))
            for task in found]  # fmt: skip


def test_those_that_start_at_once_have_folders_of_their_own(tmp_path):
    config, together = tiny_config(), Barrier(8)

    def take(_):
        together.wait(30)
        return reserve(tmp_path / "runs", lambda: new_run_path(config, tmp_path / "runs")).path

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(take, range(8)))
    assert len(set(found)) == 8
    assert {Run(path).status().state for path in found} == {QUEUED}


def test_a_folder_in_which_nothing_began_is_removed(tmp_path, empty_runs):
    with pytest.raises(UserError, match="no-such-set"):
        train(replace(tiny_config(), data="no-such-set"))
    assert list(empty_runs.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), reserved(tiny_config(), tmp_path / "r"):
        raise KeyboardInterrupt
    assert list((tmp_path / "r").iterdir()) == []


def test_a_training_that_began_is_kept(tmp_path):
    def stopped():
        with reserved(tiny_config(), tmp_path) as path:
            RunWriter(path).update(state=CANCELLED)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    (run,) = list_runs([tmp_path])
    assert run.status().state == CANCELLED


def test_a_named_folder_may_be_empty_but_not_taken(tmp_path, of_another, capsys):
    (tmp_path / "empty").mkdir()
    with reserved_at(tmp_path / "empty") as path:
        assert Run(path).status().state == QUEUED
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"), reserved_at(tmp_path / "mine"):
        raise AssertionError("reserved")
    taken = of_another(tmp_path / "taken")
    assert main(["train", "--data", "details", "--wait", "--run", str(taken)]) == 2
    assert "holds a run already. Choose another folder" in capsys.readouterr().err
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_a_link_to_nothing_is_passed_over(tmp_path, monkeypatch):
    """Such as to a disk that is not mounted now; choosing it again and again never ended."""
    config, disk = tiny_config(), tmp_path / "disk"
    first = new_run_path(config, tmp_path)
    first.symlink_to(disk)
    assert new_run_path(config, tmp_path).name == first.name.replace("-001", "-002")
    (tmp_path / run_name(config)).symlink_to(disk)
    assert _free_path(tmp_path, run_name(config)).name == f"{run_name(config)}-1"
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waits for ever"))
    with pytest.raises(UserError, match="is a link to nothing"), reserved_at(first):
        raise AssertionError("reserved")
    assert first.is_symlink()


def test_with_devices_the_first_process_has_the_run(tmp_path, of_another):
    theirs = of_another(tmp_path / "theirs", QUEUED)
    with (
        reserved(tiny_config(), tmp_path) as path,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child,
    ):
        for folder in (path, theirs, tmp_path / "none"):
            _hand_over(folder, child.pid)
        assert Run(path).status().pid == child.pid
        assert Run(theirs).status().pid == os.getppid()
        child.communicate(b"\n")


def test_a_protocol_leaves_what_another_process_trains_to_the_end(tmp_path, workspace, of_another):
    asked = short_tasks()
    theirs = of_another(tmp_path / run_name(asked[0].config))
    assert finish_unless_taken(asked[0].config, (), tmp_path) is None
    done = run_tasks(asked, tmp_path)
    assert [next(done)[0] for _ in asked[1:]] == asked[1:]
    (theirs / "status.json").unlink()  # the other one has given up
    theirs.rmdir()
    ((task, run),) = done
    assert task == asked[0]
    assert run.path == theirs
    assert len(list_runs([tmp_path])) == len(asked)


def test_a_reservation_of_a_killed_process_is_passed_over(tmp_path, workspace):
    task = short_tasks()[-1]
    process = subprocess.Popen([sys.executable, "-c", ""])
    killed = tmp_path / run_name(task.config)
    killed.mkdir()
    write_status(killed, Status(QUEUED, started=1.0, updated=1.0, pid=process.pid))
    process.wait()
    ((_, run),) = run_tasks([task], tmp_path)
    assert run.path.name == f"{killed.name}-1"
    assert Run(killed).status().state == INTERRUPTED


@pytest.mark.long
@pytest.mark.parametrize("command", [PROTOCOL, TRAIN])
def test_two_commands_at_once(command, workspace, tmp_path):
    variables = os.environ | {"MOCOOP_RUNS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen([sys.executable, "-m", "mocoop", *command], env=variables)
        for _ in range(2)
    ]
    assert [process.wait(300) for process in both] == [0, 0]
    runs = list_runs([tmp_path, tmp_path / "protocol"])
    runs = [run for run in runs if run.path.name != "protocol"]
    assert {run.status().state for run in runs} == {FINISHED}
    assert len(runs) == (3 if command is PROTOCOL else 2)
