"""Trainings as processes: start, order, cancel, and what a killed one leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest

from app.jobs import trainings
from mocoop.errors import UserError
from mocoop.runs.queue import ahead_of, wait_for_turn
from mocoop.runs.run import Run
from mocoop.runs.status import CANCELLED, FINISHED, INTERRUPTED, RUNNING
from mocoop.runs.writer import hand_over, mark_cancelled, queue_run
from mocoop.training.snapshots import saved_epoch
from tests.support.page_fixtures import tiny_config


def wait_until(done: Callable[[], bool], seconds: float = 90) -> None:
    """Returns when `done()` is true; fails after some seconds."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@pytest.fixture(autouse=True)
def stop_all(empty_runs):
    """Leaves no process behind, whatever a test does."""
    yield
    for run in trainings.active_runs():
        trainings.cancel_run(run, patience=1)


def long_config(**changes):
    return replace(tiny_config(), epochs=2000, **changes)


def is_running(run: Run) -> bool:
    return run.status().state == RUNNING and run.status().epoch > 0


@pytest.mark.long
def test_runs_train_one_after_the_other():
    first, second = trainings.start_run(tiny_config()), trainings.start_run(tiny_config(seed=2))
    assert trainings.active_runs() == [first, second]
    assert ahead_of(first.path) == []
    assert ahead_of(second.path) == [first.path]
    seen = set()

    def finished() -> bool:
        states = (first.status().state, second.status().state)
        seen.add(states)
        return not trainings.active_runs()

    wait_until(finished)
    assert first.status().state == second.status().state == FINISHED, trainings.log_tail(first)
    assert (RUNNING, RUNNING) not in seen
    assert first.status().updated <= second.status().started
    assert trainings.requested(second).seed == 2
    assert second.setup().config.seed == 2
    assert len(second.records()) == 3
    ours = {first.status().pid, second.status().pid}
    wait_until(lambda: not ours & {child.pid for child in psutil.Process().children()}, 20)


@pytest.mark.parametrize("threads", [None, "3"])
def test_training_leaves_a_core_unless_told_otherwise(monkeypatch, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if threads is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    environment: list[dict[str, str]] = []

    def refuse(command, env, **options):
        environment.append(env)
        raise OSError("not in this test")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(UserError, match="cannot be started: not in this test"):
        trainings.start_run(tiny_config())
    assert environment[0]["OMP_NUM_THREADS"] == (threads or "7")
    assert trainings.active_runs() == []  # nothing is left that would block the queue


def test_cancelled_run_stops_and_the_next_one_starts():
    first, second = trainings.start_run(long_config()), trainings.start_run(tiny_config())
    wait_until(lambda: is_running(first))
    pid = first.status().pid
    trainings.cancel_run(first)
    assert first.status().state == CANCELLED
    assert not psutil.pid_exists(pid)
    wait_until(lambda: second.status().state == FINISHED)
    trainings.cancel_run(second)  # over: nothing happens
    assert second.status().state == FINISHED


@pytest.mark.long
def test_cancelled_run_goes_on_from_its_last_snapshot():
    run = trainings.start_run(long_config())
    wait_until(lambda: (saved_epoch(run.path) or 0) > 0)
    trainings.cancel_run(run)
    saved = trainings.resumes_after(run)
    trainings.resume_run(run)
    assert trainings.active_runs() == [run]
    with pytest.raises(UserError, match="no saved state to continue from"):
        trainings.resume_run(run)  # a second press, in another tab
    wait_until(lambda: is_running(run) and run.status().epoch > saved)
    trainings.cancel_run(run)
    epochs = [record["epoch"] for record in run.records()]
    assert epochs == list(range(len(epochs)))
    assert len(epochs) > saved + 1


def test_run_that_cannot_be_started_again_stays_as_it_was(monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("no more processes")

    run = trainings.start_run(long_config())
    wait_until(lambda: (saved_epoch(run.path) or 0) > 0)
    trainings.cancel_run(run)
    before = run.status()
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(UserError, match="cannot be started: no more processes"):
        trainings.resume_run(run)
    assert run.status() == before


def test_the_same_training_is_not_queued_twice():
    run = trainings.start_run(long_config())
    with pytest.raises(UserError, match="has exactly these settings and is not finished"):
        trainings.start_run(long_config())
    with ThreadPoolExecutor(4) as tabs:
        made = list(tabs.map(start_or_none, [long_config(seed=2)] * 4))
    assert sum(one is not None for one in made) == 1
    assert len(trainings.active_runs()) == 2
    trainings.cancel_run(run)
    assert trainings.start_run(long_config()).path != run.path  # once it is over, it can


def start_or_none(config) -> Run | None:
    """Returns a new run; None where it is refused."""
    try:
        return trainings.start_run(config)
    except UserError:
        return None


def test_waiting_run_can_be_cancelled():
    first, second = trainings.start_run(long_config()), trainings.start_run(long_config(seed=2))
    trainings.cancel_run(second)
    assert second.status().state == CANCELLED
    assert trainings.active_runs() == [first]


@pytest.mark.parametrize("waiting", [False, True])
def test_killed_run_reads_as_interrupted(waiting):
    run = trainings.start_run(long_config())
    if not waiting:
        wait_until(lambda: is_running(run))
    os.kill(run.status().pid, signal.SIGKILL)
    wait_until(lambda: run.status().state == INTERRUPTED, 5)
    assert trainings.active_runs() == []
    assert "ended without finishing" in run.status().message


def test_deaf_process_is_killed(empty_runs, monkeypatch):
    run = trainings.start_run(long_config())
    monkeypatch.setattr(psutil.Process, "terminate", lambda self: None)
    trainings.cancel_run(run, patience=0.3)
    assert run.status().state == CANCELLED


def test_failed_training_says_why(tmp_path):
    run = trainings.start_run(replace(tiny_config(), data=str(tmp_path / "nowhere")))
    wait_until(lambda: not run.status().active)
    assert run.status().state == "failed"
    assert "no such folder" in run.status().message
    wait_until(lambda: "no such folder" in trainings.log_tail(run))  # printed after the status


def test_run_that_nobody_answers_for_does_not_block_the_queue(empty_runs):
    dead = queue_run(empty_runs / "dead")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    hand_over(dead, ended.pid)
    wait_until(lambda: psutil.Process(ended.pid).status() == psutil.STATUS_ZOMBIE, 20)
    assert dead.status().state == INTERRUPTED  # a zombie does no work
    ended.wait()
    assert dead.status().state == INTERRUPTED
    waiting = queue_run(empty_runs / "waiting")
    assert ahead_of(waiting.path) == []
    assert wait_for_turn(dead.path) is False
    assert wait_for_turn(waiting.path) is True  # queued on the account of this process


def test_process_that_ended_at_once_leaves_an_interrupted_run(empty_runs, monkeypatch):
    def start_and_reap(*_):
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        return process

    monkeypatch.setattr(trainings, "start_process", start_and_reap)
    run = trainings.start_run(tiny_config())
    assert run.status().state == INTERRUPTED
    waiting = queue_run(empty_runs / "waiting")
    assert ahead_of(waiting.path) == []


def test_mark_cancelled_keeps_a_result(one_run):
    mark_cancelled(one_run)
    assert one_run.status().state == FINISHED


def test_requested_settings_of_a_folder_without_any(tmp_path):
    with pytest.raises(UserError, match="not a complete run"):
        trainings.requested(Run(tmp_path))
