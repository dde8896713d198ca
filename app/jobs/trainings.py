"""Trainings as processes of their own, which outlive the page, the browser and the server.

All that is known of a job lies in its run's folder: the settings asked for (`request.json`),
what it printed (`log.txt`) and its status. Jobs of one folder of runs take turns.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil

from app.common.access import check_may_change
from app.jobs.worker import REQUEST, RESUME
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.presets import settings_from
from mocoop.runs.run import Run, default_runs, list_runs, new_run_path
from mocoop.runs.status import QUEUED, STOPPED, read_values
from mocoop.runs.writer import hand_over, mark_cancelled, mark_stopped, queue_again, queue_run
from mocoop.storage.atomic import exclusive_lock, explain_write_errors, write_json
from mocoop.training.snapshots import saved_epoch

LOG = "log.txt"
ROOT = Path(__file__).resolve().parents[2]


def start_run(config: TrainConfig) -> Run:
    """Returns a new queued run, whose process trains it as soon as its turn comes.

    Raises:
        UserError: if the very same training is waiting or running already, as after a second
            press of the button or one in another tab; if nothing can be written, or no process
            started, and nothing is left of the run then; on a server for looking only.
    """
    check_may_change()
    runs = default_runs().resolve()
    with explain_write_errors(runs), exclusive_lock(runs):
        same = next((run for run in active_runs() if _asks_for(run, config)), None)
        if same is not None:
            raise UserError(
                f"{same.name} is this very training, and it is not done. Change a setting, or "
                "the seed, to train another one."
            )
        run = queue_run(new_run_path(config, runs))
        try:
            write_json(run.path / REQUEST, config.to_dict())
            _start_process(run)
        except (OSError, UserError):
            shutil.rmtree(run.path)  # or it would wait for a process that never came
            raise
    return run


def resume_run(run: Run) -> None:
    """Queues a run that stopped once more, to go on where it stopped.

    Raises:
        UserError: if it has nothing saved to go on from, or did not stop; if nothing can be
            written, or no process started.
    """
    check_may_change()
    if resumes_after(run) is None:
        raise UserError(f"Run {run.name} has nothing saved to go on from. Train it again.")
    before = run.status()
    with explain_write_errors(run.path):
        queue_again(run)
        try:
            _start_process(run, RESUME)
        except (OSError, UserError):
            mark_stopped(run, before)
            raise


def resumes_after(run: Run) -> int | None:
    """Returns the epoch after which a run can go on; None where it cannot."""
    stopped = run.status().state in STOPPED
    return saved_epoch(run.path) if stopped and (run.path / "config.json").exists() else None


def requested(run: Run) -> TrainConfig:
    """Returns the settings that a run was or will be trained with.

    Raises:
        UserError: if the run's folder does not say.
    """
    if (run.path / REQUEST).exists():
        return settings_from(read_values(run.path, REQUEST))
    return run.setup().config


def cancel_run(run: Run, patience: float = 5.0) -> None:
    """Stops a run that is queued or running and returns when its process has ended.

    Args:
        run: the run; nothing happens if it is over.
        patience: seconds to wait after the polite signal before the process is killed.
    """
    check_may_change()
    status = run.status()
    process = status.process() if status.active else None
    # A run that was never handed over is on the account of this process: nothing to stop.
    if process is None or process.pid == os.getpid():
        return
    try:
        process.terminate()
        process.wait(patience)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(patience)
    except psutil.NoSuchProcess:
        pass  # it ended by itself
    with suppress(OSError):  # on a full disk it goes on to read as interrupted
        mark_cancelled(run)


def active_runs() -> list[Run]:
    """Returns the runs that are running or waiting, in the order of their turns."""
    active = []
    for run in list_runs([default_runs()]):
        with suppress(UserError):  # it was deleted between the two looks
            status = run.status()
            if status.active:
                active.append((run, status))
    active.sort(key=lambda pair: (pair[1].state == QUEUED, pair[1].started, pair[0].name))
    return [run for run, _ in active]


def log_tail(run: Run, lines: int = 20) -> str:
    """Returns the last lines that a run's process printed; empty if it printed nothing."""
    path = run.path / LOG
    if not path.exists():
        return ""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _asks_for(run: Run, config: TrainConfig) -> bool:
    """Returns whether a run has these settings; not if it does not say which it has."""
    try:
        return requested(run).to_dict() == config.to_dict()
    except UserError:
        return False


def _start_process(run: Run, *options: str) -> None:
    """Starts the process of a queued run and hands the run over to it.

    Raises:
        OSError: if nothing can be written into the run's folder.
        UserError: if the system starts no more processes.
    """
    with (run.path / LOG).open("ab") as log:
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.jobs.worker", str(run.path), *options],
                cwd=ROOT,
                env=_environment(run),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise UserError(
                f"The training's process cannot be started: {error.strerror or error}. Close "
                "other programs, and try again."
            ) from error
    hand_over(run, process.pid)
    # A thread that only waits takes the process's exit status, which leaves no zombie.
    threading.Thread(target=process.wait, daemon=True, name=f"reap {run.name}").start()


def _environment(run: Run) -> dict[str, str]:
    """Returns the environment of a run's process."""
    # It works in the checkout, so that relative folders must be made absolute.
    changes = {"MOCOOP_RUNS": str(run.path.parent)}
    if cache := os.environ.get("MOCOOP_CACHE"):
        changes["MOCOOP_CACHE"] = str(Path(cache).resolve())
    # One core is left to server and browser. OpenMP's threads wait for each other in a loop:
    # with a thread on every core, another process makes an epoch of 0.4 s last up to 24 s.
    if "OMP_NUM_THREADS" not in os.environ:
        changes["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 2) - 1))
    return os.environ | changes
