"""Reserves the folders of new runs, so that processes that start at once never share one."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.runs.paths import check_not_reserved, default_runs
from mocoop.runs.run import Run, new_run_path
from mocoop.runs.status import STATUS_FILE, Status, saved_status
from mocoop.runs.writer import queue_run
from mocoop.storage.atomic import exclusive_lock, explain_write_errors

RETRY_SECONDS = 0.05


def reserve(root: Path, choose: Callable[[], Path | None]) -> Run | None:
    """Returns a new run that is queued for this process, in the folder that `choose` returns.

    Processes of this machine choose one after the other. Where another machine has made the
    same folder in the meantime, `choose` is asked again.

    Args:
        root: the folder of the runs; it is made if it does not exist.
        choose: returns a path that does not exist yet; None to reserve nothing.

    Raises:
        UserError: if the folder cannot be written.
    """
    with explain_write_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        while True:
            with suppress(FileExistsError), exclusive_lock(root):
                path = choose()
                return None if path is None else queue_run(path)
            time.sleep(RETRY_SECONDS)


@contextmanager
def reserved(config: TrainConfig, root: Path | None = None) -> Iterator[Path]:
    """Yields the folder of a new run, which is this process's own before anything is loaded.

    If no training begins in it, the folder is removed again.

    Args:
        config: the run's settings.
        root: the folder of runs; MOCOOP_RUNS or ./runs if None.
    """
    root = root or default_runs()
    run = reserve(root, lambda: new_run_path(config, root))
    assert run is not None  # a path is chosen in any case
    with removed_unless_begun(run):
        yield run.path


@contextmanager
def reserved_at(path: Path) -> Iterator[Path]:
    """Yields the given folder of a new run, reserved like that of `reserved`.

    Raises:
        UserError: if the folder holds anything already.
    """
    check_not_reserved(path)

    def choose() -> Path:
        with suppress(OSError):
            path.rmdir()  # an empty folder may be used
        if os.path.lexists(path):
            holds = "is not empty" if path.exists() else "is a link to nothing"
            holds = "holds a run already" if (path / STATUS_FILE).exists() else holds
            raise UserError(f"{path} {holds}. Choose another folder for the run.")
        return path

    run = reserve(path.parent, choose)
    assert run is not None  # a path is chosen in any case
    with removed_unless_begun(run):
        yield path


@contextmanager
def removed_unless_begun(run: Run) -> Iterator[None]:
    """Removes a reserved run again if the block fails before a training has begun in it."""
    at_first = saved_status(run.path, Status).started
    try:
        yield
    except BaseException:
        with suppress(UserError):  # the folder was deleted
            if saved_status(run.path, Status).started == at_first:  # a training sets it anew
                shutil.rmtree(run.path, ignore_errors=True)
        raise
