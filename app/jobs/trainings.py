"""Trainings in separate processes, which continue when page, browser or server are closed.

Everything about a job is in its run's folder: the requested settings (`request.json`), its
output (`log.txt`) and its status. Jobs in the same folder of runs run one after the other.
"""

from __future__ import annotations

import shutil
from contextlib import suppress

from app.common.access import check_may_change
from app.jobs.job_folder import LOG, REQUEST, stop_job
from app.jobs.processes import start_process
from app.jobs.standby import STANDBY, job_environment
from app.jobs.worker import RESUME
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.presets import settings_of_run
from mocoop.runs.run import Run, default_runs, list_runs, new_run_path
from mocoop.runs.status import QUEUED, STOPPED, read_values
from mocoop.runs.writer import hand_over, mark_cancelled, mark_stopped, queue_again, queue_run
from mocoop.storage.atomic import exclusive_lock, explain_write_errors, write_json
from mocoop.training.snapshots import saved_epoch


def start_run(config: TrainConfig) -> Run:
    """Returns a new queued run; its process trains it when its turn comes.

    Raises:
        UserError: if a training with the same settings is already waiting or running, for
            example after a second click; if the run cannot be written or its process cannot be
            started, in which case the run is deleted; or if the server is read-only.
    """
    check_may_change()
    runs = default_runs().resolve()
    with explain_write_errors(runs), exclusive_lock(runs):
        same = next((run for run in active_runs() if _asks_for(run, config)), None)
        if same is not None:
            raise UserError(
                f"Run {same.name} has exactly these settings and is not finished yet. Change a "
                "setting or the seed to start another training."
            )
        run = queue_run(new_run_path(config, runs))
        try:
            write_json(run.path / REQUEST, config.to_dict())
            _start_process(run)
        except (OSError, UserError):
            shutil.rmtree(run.path)  # otherwise it would stay in the queue without a process
            raise
    return run


def resume_run(run: Run) -> None:
    """Queues a stopped run again, to continue from its last saved state.

    Raises:
        UserError: if the run has no saved state or did not stop; if its folder cannot be written,
            or its process cannot be started; or if the server is read-only.
    """
    check_may_change()
    if resumes_after(run) is None:
        raise UserError(f"Run {run.name} has no saved state to continue from. Train it again.")
    before = run.status()
    with explain_write_errors(run.path):
        queue_again(run)
        try:
            _start_process(run, RESUME)
        except (OSError, UserError):
            mark_stopped(run, before)
            raise


def resumes_after(run: Run) -> int | None:
    """Returns the epoch after which a stopped run can continue; None if it cannot."""
    stopped = run.status().state in STOPPED
    return saved_epoch(run.path) if stopped and (run.path / "config.json").exists() else None


def requested(run: Run) -> TrainConfig:
    """Returns the settings that a run was or will be trained with.

    Raises:
        UserError: if the run's folder does not contain them.
    """
    if (run.path / REQUEST).exists():
        return settings_of_run(read_values(run.path, REQUEST))
    return run.setup().config


def cancel_run(run: Run, patience: float = 5.0) -> None:
    """Stops a run that is queued or running, and returns when its process has ended.

    Args:
        run: the run; nothing happens if it has already ended.
        patience: seconds to wait after SIGTERM before the process is killed.

    Raises:
        UserError: if the server is read-only.
    """
    check_may_change()
    if stop_job(run.status(), patience):
        # On a full disk the run keeps the state "interrupted"; one of `mocoop train` that was
        # about to start has removed its folder.
        with suppress(OSError, UserError):
            mark_cancelled(run)


def active_runs() -> list[Run]:
    """Returns the runs that are running or waiting, in the order of the queue."""
    active = []
    for run in list_runs([default_runs()]):
        with suppress(UserError):  # the run was deleted after it was listed
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
    """Returns whether a run has these settings; False if its settings cannot be read."""
    try:
        return requested(run).to_dict() == config.to_dict()
    except UserError:
        return False


def _start_process(run: Run, *options: str) -> None:
    """Starts the process of a queued run and hands the run over to it.

    Raises:
        OSError: if the run's folder cannot be written.
        UserError: if the system cannot start another process.
    """
    arguments, log = [str(run.path), *options], run.path / LOG
    environment = job_environment(run.path.parent)
    log.touch()  # the process that stands by cannot tell anybody that it cannot be written
    pid = STANDBY.take_over(arguments, log, environment)
    if pid is None:
        module = ["app.jobs.worker", *arguments]
        pid = start_process(module, log, environment, "The training").pid
    hand_over(run, pid)
