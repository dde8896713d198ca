"""A run's status: a small file that is read often, also by processes without torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import psutil

from mocoop.errors import PathError

QUEUED, RUNNING, FINISHED = "queued", "running", "finished"
CANCELLED, FAILED, INTERRUPTED = "cancelled", "failed", "interrupted"
STOPPED = (CANCELLED, FAILED, INTERRUPTED)

STATUS_FILE = "status.json"

AnyStatus = TypeVar("AnyStatus", bound="Status")


@dataclass(frozen=True)
class Status:
    """The status of a run: its state, its progress and its process."""

    state: str
    """queued, running, finished, cancelled, failed or interrupted."""
    message: str = ""
    """What the run is doing, or why it stopped."""
    epoch: int = 0
    """The last finished epoch."""
    epochs: int = 0
    """The number of epochs in the settings."""
    pid: int = 0
    """Id of the process that trains the run, or that waits in the queue to train it."""
    process_started: float = 0.0
    """Start time of that process, because the system reuses process ids."""
    started: float = 0.0
    """When the run was started or queued, as Unix time in seconds."""
    updated: float = 0.0
    """When the status was last written, as Unix time in seconds."""

    @property
    def active(self) -> bool:
        """Whether the run is queued or running."""
        return self.state in (QUEUED, RUNNING)

    def process(self) -> psutil.Process | None:
        """Returns the run's process; None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.process_started) < 2
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def read_status(run: Path) -> Status:
    """Returns the status of the run in a folder; `interrupted` if its process has ended early.

    Raises:
        UserError: for a folder without a readable status.
    """
    return with_process(lambda: Status(**read_values(run, STATUS_FILE)))


def with_process(read: Callable[[], AnyStatus]) -> AnyStatus:
    """Returns the status that `read` reads; `interrupted` if its process has ended early."""
    saved = read()
    if saved.active and saved.process() is None:
        saved = read()  # it may have finished after the file was read
        if saved.active:
            message = "its process ended without finishing"
            return replace(saved, state=INTERRUPTED, message=message)
    return saved


def identity(process: psutil.Process) -> dict[str, Any]:
    """Returns the fields of a status that identify a process."""
    return {"pid": process.pid, "process_started": process.create_time()}


def read_values(run: Path, name: str) -> dict[str, Any]:
    """Returns the JSON object in a file of a run's folder.

    Raises:
        UserError: if the file is missing or damaged.
    """
    path = run / name
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PathError(
            run,
            f" is not a complete run: it has no {name}. Expected a folder written by "
            "`mocoop train`; `mocoop runs` lists them.",
        ) from error
    except (OSError, ValueError) as error:
        raise PathError(path, f" cannot be read ({error}). Train the run again.") from error
    if not isinstance(value, dict):
        raise PathError(path, " does not hold a JSON object. Train the run again.")
    return value
