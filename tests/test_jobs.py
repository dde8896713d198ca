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
from page_fixtures import tiny_config

from app import jobs
from mocoop.errors import UserError
from mocoop.run_writer import hand_over, mark_cancelled, queue_run
from mocoop.runs import Run
from mocoop.snapshots import saved_epoch
from mocoop.status import CANCELLED, FINISHED, INTERRUPTED, RUNNING
from mocoop.turns import ahead_of, wait_for_turn


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
    for run in jobs.active_runs():
        jobs.cancel_run(run, patience=1)


def long_config(**changes):
    return replace(tiny_config(), epochs=2000, **changes)


def is_running(run: Run) -> bool:
    return run.status().state == RUNNING and run.status().epoch > 0


def test_runs_train_one_after_the_other():
    first, second = jobs.start_run(tiny_config()), jobs.start_run(tiny_config(seed=2))
    assert jobs.active_runs() == [first, second]
    assert ahead_of(first.path) == []
    assert ahead_of(second.path) == [first.path]
    seen = set()

    def finished() -> bool:
        states = (first.status().state, second.status().state)
        seen.add(states)
        return not jobs.active_runs()

    wait_until(finished)
    assert first.status().state == second.status().state == FINISHED, jobs.log_tail(first)
    assert (RUNNING, RUNNING) not in seen
    assert first.status().updated <= second.status().started
    assert jobs.requested(second).seed == 2
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
        jobs.start_run(tiny_config())
    assert environment[0]["OMP_NUM_THREADS"] == (threads or "7")
    assert jobs.active_runs() == []  # nothing is left that would block the queue


def test_cancelled_run_stops_and_the_next_one_starts():
    first, second = jobs.start_run(long_config()), jobs.start_run(tiny_config())
    wait_until(lambda: is_running(first))
    pid = first.status().pid
    jobs.cancel_run(first)
    assert first.status().state == CANCELLED
    assert not psutil.pid_exists(pid)
    wait_until(lambda: second.status().state == FINISHED)
    jobs.cancel_run(second)  # over: nothing happens
    assert second.status().state == FINISHED


def test_cancelled_run_goes_on_from_its_last_snapshot():
    run = jobs.start_run(long_config())
    wait_until(lambda: (saved_epoch(run.path) or 0) > 0)
    jobs.cancel_run(run)
    saved = jobs.resumes_after(run)
    jobs.resume_run(run)
    assert jobs.active_runs() == [run]
    with pytest.raises(UserError, match="nothing saved to go on from"):
        jobs.resume_run(run)  # a second press, in another tab
    wait_until(lambda: is_running(run) and run.status().epoch > saved)
    jobs.cancel_run(run)
    epochs = [record["epoch"] for record in run.records()]
    assert epochs == list(range(len(epochs)))
    assert len(epochs) > saved + 1


def test_run_that_cannot_be_started_again_stays_as_it_was(monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("no more processes")

    run = jobs.start_run(long_config())
    wait_until(lambda: (saved_epoch(run.path) or 0) > 0)
    jobs.cancel_run(run)
    before = run.status()
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(UserError, match="cannot be started: no more processes"):
        jobs.resume_run(run)
    assert run.status() == before


def test_the_same_training_is_not_queued_twice():
    run = jobs.start_run(long_config())
    with pytest.raises(UserError, match="this very training, and it is not done"):
        jobs.start_run(long_config())
    with ThreadPoolExecutor(4) as tabs:
        made = list(tabs.map(start_or_none, [long_config(seed=2)] * 4))
    assert sum(one is not None for one in made) == 1
    assert len(jobs.active_runs()) == 2
    jobs.cancel_run(run)
    assert jobs.start_run(long_config()).path != run.path  # once it is over, it can


def start_or_none(config) -> Run | None:
    """Returns a new run; None where it is refused."""
    try:
        return jobs.start_run(config)
    except UserError:
        return None


def test_waiting_run_can_be_cancelled():
    first, second = jobs.start_run(long_config()), jobs.start_run(long_config(seed=2))
    jobs.cancel_run(second)
    assert second.status().state == CANCELLED
    assert jobs.active_runs() == [first]


@pytest.mark.parametrize("waiting", [False, True])
def test_killed_run_reads_as_interrupted(waiting):
    run = jobs.start_run(long_config())
    if not waiting:
        wait_until(lambda: is_running(run))
    os.kill(run.status().pid, signal.SIGKILL)
    wait_until(lambda: run.status().state == INTERRUPTED, 5)
    assert jobs.active_runs() == []
    assert "ended without finishing" in run.status().message


def test_deaf_process_is_killed(empty_runs, monkeypatch):
    run = jobs.start_run(long_config())
    monkeypatch.setattr(psutil.Process, "terminate", lambda self: None)
    jobs.cancel_run(run, patience=0.3)
    assert run.status().state == CANCELLED


def test_failed_training_says_why(tmp_path):
    run = jobs.start_run(replace(tiny_config(), data=str(tmp_path / "nowhere")))
    wait_until(lambda: not run.status().active)
    assert run.status().state == "failed"
    assert "no such folder" in run.status().message
    assert "no such folder" in jobs.log_tail(run)


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


def test_mark_cancelled_keeps_a_result(one_run):
    mark_cancelled(one_run)
    assert one_run.status().state == FINISHED


def test_requested_settings_of_a_folder_without_any(tmp_path):
    with pytest.raises(UserError, match="no complete run"):
        jobs.requested(Run(tmp_path))
