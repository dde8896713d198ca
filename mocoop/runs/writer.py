"""Writes run folders: each file atomically, and the state `finished` last."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from mocoop.errors import UserError
from mocoop.runs.formats import FORMAT
from mocoop.runs.paths import check_not_reserved, remove_half_files
from mocoop.runs.run import Run, RunSetup
from mocoop.runs.status import (
    CANCELLED,
    FAILED,
    FINISHED,
    INTERRUPTED,
    QUEUED,
    RUNNING,
    STATUS_FILE,
    STOPPED,
    Status,
    identity,
    identity_of_started,
    write_last_status,
    write_status,
)
from mocoop.storage.atomic import (
    exclusive_lock,
    write_json,
    write_tensors,
    write_text,
)

if TYPE_CHECKING:
    from torch import Tensor

    from mocoop.runs.features import SavedFeatures


class RunWriter:
    """Writes a run's folder during training; one process per run.

    Args:
        path: the run's folder; created if it does not exist.
        resume: resume a stopped run instead of starting a new one.

    Raises:
        UserError: if the folder holds a run or other files already; with `resume`, if the run
            is finished, or another process trains it.
    """

    def __init__(self, path: Path, resume: bool = False) -> None:
        check_not_reserved(path)
        path.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(path.parent):
            if (path / STATUS_FILE).exists():
                _check_free(path, resume)  # first: a run of a newer version is left alone
            remove_half_files(path)
            if any(path.iterdir()):
                _check_free(path, resume)
            self.run = Run(path)
            now = time.time()
            process = identity(psutil.Process())
            self._status = Status(RUNNING, "starting", started=now, updated=now, **process)
            try:
                write_status(path, self._status)
            except OSError:
                with suppress(OSError):
                    path.rmdir()  # leave no empty folder behind
                raise

    def update(self, **changes: Any) -> None:
        """Writes the status with some fields changed.

        Raises:
            UserError: if the run's folder was deleted; what was written since is removed.
        """
        self._check_there()
        self._status = replace(self._status, **changes, updated=time.time())
        write_status(self.run.path, self._status)

    def fail(self, message: str) -> None:
        """Writes the state `failed` with the reason, even if the disk is full.

        A run whose folder was deleted leaves nothing behind.
        """
        if not (self.run.path / STATUS_FILE).exists():
            shutil.rmtree(self.run.path, ignore_errors=True)
            return
        self._status = replace(self._status, state=FAILED, message=message, updated=time.time())
        write_last_status(self.run.path, self._status)

    def save_setup(self, setup: RunSetup) -> None:
        """Writes config.json."""
        values = asdict(setup) | {"format": FORMAT, "config": setup.config.to_dict()}
        write_json(self.run.path / "config.json", values)

    def add_record(self, record: Mapping[str, Any]) -> None:
        """Appends one record to metrics.jsonl.

        Raises:
            UserError: as for `update`.
        """
        self._check_there()
        with (self.run.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def truncate_records(self, last: int) -> None:
        """Removes the records of the epochs after `last`, which will be trained again."""
        kept = [record for record in self.run.records() if record["epoch"] <= last]
        lines = "".join(json.dumps(record) + "\n" for record in kept)
        write_text(self.run.path / "metrics.jsonl", lines)

    def save_features(self, features: SavedFeatures) -> None:
        """Writes features.safetensors."""
        tensors = {f"soft/{epoch}": value for epoch, value in features.soft.items()}
        tensors |= {f"hard/{index}": value for index, value in enumerate(features.hard)}
        tensors["prototypes"] = features.prototypes
        for epoch, gate in features.gates.items():
            tensors |= {f"gate/{epoch}/{name.removeprefix('gate.')}": gate[name] for name in gate}
        write_tensors(self.run.path / "features.safetensors", tensors)

    def save_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Writes weights.safetensors."""
        write_tensors(self.run.path / "weights.safetensors", dict(weights))

    def finish(self, results: Mapping[str, Any]) -> None:
        """Writes results.json and then the state `finished`."""
        write_json(self.run.path / "results.json", dict(results))
        self.update(state=FINISHED, message="")

    def _check_there(self) -> None:
        if not (self.run.path / STATUS_FILE).exists():
            shutil.rmtree(self.run.path, ignore_errors=True)
            raise UserError(
                f"{self.run.path} was deleted while the run was trained. Train it again."
            )


def queue_run(path: Path) -> Run:
    """Returns a new run in the state `queued`, with the calling process as its process.

    `hand_over` then sets the process that will train it. If the caller ends before that, the run
    is interrupted.

    Raises:
        OSError: if the folder cannot be written; it is removed again then.
    """
    path.mkdir(parents=True, exist_ok=False)
    now = time.time()
    process = identity(psutil.Process())
    try:
        write_status(path, Status(QUEUED, started=now, updated=now, **process))
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return Run(path)


def queue_again(run: Run) -> None:
    """Puts a stopped run at the end of the queue, to be resumed where it stopped.

    As with `queue_run`, the calling process is its process until it is handed over.

    Raises:
        UserError: if the run is finished, running or queued.
    """
    with exclusive_lock(run.path.parent):
        status = run.status()
        if status.state not in STOPPED:
            raise UserError(
                f"Run {run.name} is {status.state}: only a stopped run can be resumed."
            )
        now, process = time.time(), identity(psutil.Process())
        waiting = replace(status, state=QUEUED, message="", started=now, updated=now, **process)
        write_status(run.path, waiting)


def hand_over(run: Run, pid: int) -> None:
    """Sets the process that will train a queued run when its turn comes.

    If it has ended already, the run is interrupted.
    """
    write_status(run.path, replace(run.status(), **identity_of_started(pid)))


def mark_stopped(run: Run, status: Status) -> None:
    """Restores the old status of a run that was queued again but whose process did not start."""
    write_status(run.path, status)


def mark_failed(run: Run, message: str) -> None:
    """Marks a run that could not start training as failed, with the reason."""
    process = identity(psutil.Process())
    failed = replace(run.status(), state=FAILED, message=message, updated=time.time(), **process)
    write_last_status(run.path, failed)


def mark_cancelled(run: Run) -> None:
    """Marks a run as cancelled if its process was stopped before the run ended by itself."""
    status = run.status()
    if status.state == INTERRUPTED:
        stopped = replace(status, state=CANCELLED, message="stopped on request")
        write_status(run.path, replace(stopped, updated=time.time()))


def _check_free(path: Path, resume: bool) -> None:
    """Raises UserError unless this process may train the run in a folder that is not empty."""
    if not (path / STATUS_FILE).exists():
        raise UserError(f"{path} exists and is not empty. Choose another folder for the run.")
    status = Run(path).status()
    # A run that waits for another process is left to it: two processes may choose the same name.
    if status.state == QUEUED and status.pid == os.getpid():
        return
    if resume and status.state not in STOPPED:
        raise UserError(f"Run {path} is {status.state}: only a stopped run can be resumed.")
    if not resume:
        raise UserError(f"{path} holds a run already ({status.state}). Choose another name.")
