"""Writes run folders: each file whole, the state `finished` last of all."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
from torch import Tensor

from mocoop.errors import UserError
from mocoop.runs.run import FORMAT, Run, RunSetup, SavedFeatures
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
)
from mocoop.storage.atomic import (
    exclusive_lock,
    overwrite_json,
    write_json,
    write_tensors,
    write_text,
)


class RunWriter:
    """Writes a run folder while it trains; one process per run.

    Args:
        path: the run's folder; made if it does not exist.
        again: go on with a run that stopped, instead of starting one.

    Raises:
        UserError: if the folder holds a run already, or something else; with `again` if the
            run is finished, or somebody trains it.
    """

    def __init__(self, path: Path, again: bool = False) -> None:
        path.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(path.parent):
            if any(path.iterdir()):
                _check_free(path, again)
            self.run = Run(path)
            now = time.time()
            process = identity(psutil.Process())
            self._status = Status(RUNNING, "starting", started=now, updated=now, **process)
            try:
                self.update()
            except OSError:
                with suppress(OSError):
                    path.rmdir()  # an empty folder is no run
                raise

    def update(self, **changes: Any) -> None:
        """Writes the status with some fields changed."""
        self._status = replace(self._status, **changes, updated=time.time())
        _write_status(self.run.path, self._status)

    def fail(self, message: str) -> None:
        """Writes the state `failed` with the reason, on a full disk too."""
        self._status = replace(self._status, state=FAILED, message=message, updated=time.time())
        _write_last_status(self.run.path, self._status)

    def save_setup(self, setup: RunSetup) -> None:
        """Writes config.json."""
        values = asdict(setup) | {"format": FORMAT, "config": setup.config.to_dict()}
        write_json(self.run.path / "config.json", values)

    def add_record(self, record: Mapping[str, Any]) -> None:
        """Appends one record to metrics.jsonl."""
        with (self.run.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def keep_records(self, last: int) -> None:
        """Drops the records of the epochs after `last`, which are to be trained again."""
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
        """Writes results.json, and only then the state `finished`."""
        write_json(self.run.path / "results.json", dict(results))
        self.update(state=FINISHED, message="")


def queue_run(path: Path) -> Run:
    """Returns a new run folder marked queued, on the account of the calling process.

    `hand_over` names the process that will train it; until then the run counts as interrupted
    as soon as the caller is gone.

    Raises:
        OSError: if it cannot be written; nothing is left of it then.
    """
    path.mkdir(parents=True, exist_ok=False)
    now = time.time()
    process = identity(psutil.Process())
    try:
        _write_status(path, Status(QUEUED, started=now, updated=now, **process))
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return Run(path)


def queue_again(run: Run) -> None:
    """Marks a run that stopped as queued, at the end of the queue, to go on where it stopped.

    As with `queue_run`, it is on the account of the calling process until it is handed over.

    Raises:
        UserError: if the run is finished, or somebody trains it or waits to do so.
    """
    with exclusive_lock(run.path.parent):
        status = run.status()
        if status.state not in STOPPED:
            raise UserError(f"Run {run.name} is {status.state}: only one that stopped can go on.")
        now, process = time.time(), identity(psutil.Process())
        waiting = replace(status, state=QUEUED, message="", started=now, updated=now, **process)
        _write_status(run.path, waiting)


def hand_over(run: Run, pid: int) -> None:
    """Names the process that will train a queued run when its turn comes.

    Raises:
        psutil.NoSuchProcess: if there is none.
    """
    _write_status(run.path, replace(run.status(), **identity(psutil.Process(pid))))


def mark_stopped(run: Run, status: Status) -> None:
    """Puts a run that was queued again, but whose process did not start, back where it was."""
    _write_status(run.path, status)


def mark_failed(run: Run, message: str) -> None:
    """Marks a run that never came to be trained as failed, with the reason."""
    process = identity(psutil.Process())
    failed = replace(run.status(), state=FAILED, message=message, updated=time.time(), **process)
    _write_last_status(run.path, failed)


def mark_cancelled(run: Run) -> None:
    """Marks a run whose process was stopped on request, unless it ended by itself before."""
    status = run.status()
    if status.state == INTERRUPTED:
        stopped = replace(status, state=CANCELLED, message="stopped on request")
        _write_status(run.path, replace(stopped, updated=time.time()))


def _check_free(path: Path, again: bool) -> None:
    """Raises UserError unless a folder's run is there to be trained by this process."""
    if not (path / STATUS_FILE).exists():
        raise UserError(f"{path} exists and is not empty. Choose another folder for the run.")
    status = Run(path).status()
    if status.state == QUEUED and (not again or status.pid == os.getpid()):
        return
    if again and status.state not in STOPPED:
        raise UserError(f"Run {path} is {status.state}: only one that stopped can go on.")
    if not again:
        raise UserError(f"{path} holds a run already ({status.state}). Choose another name.")


def _write_status(path: Path, status: Status) -> None:
    write_json(path / STATUS_FILE, asdict(status))


def _write_last_status(path: Path, status: Status) -> None:
    """Writes how a run ended, on a full disk into the place that the status has there."""
    try:
        _write_status(path, status)
    except OSError:
        overwrite_json(path / STATUS_FILE, asdict(status))
