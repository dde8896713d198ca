"""Where a run stands: a small file that is read often, also by processes without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from mocoop.errors import PathError

QUEUED, RUNNING, FINISHED = "queued", "running", "finished"
CANCELLED, FAILED, INTERRUPTED = "cancelled", "failed", "interrupted"
STOPPED = (CANCELLED, FAILED, INTERRUPTED)

STATUS_FILE = "status.json"


@dataclass(frozen=True)
class Status:
    """Where a run stands."""

    state: str
    """queued, running, finished, cancelled, failed or interrupted."""
    message: str = ""
    """What it is doing, or why it stopped."""
    epoch: int = 0
    epochs: int = 0
    pid: int = 0
    """The process that trains it, or will when its turn comes."""
    process_started: float = 0.0
    """Start time of the process, since process ids are used again."""
    started: float = 0.0
    """Unix time in seconds."""
    updated: float = 0.0
    """Unix time in seconds."""

    @property
    def active(self) -> bool:
        """Whether it may still change by itself."""
        return self.state in (QUEUED, RUNNING)

    def process(self) -> psutil.Process | None:
        """Returns the run's process if it lives and is still the same one."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.process_started) < 2
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def read_status(run: Path) -> Status:
    """Returns where the run in a folder stands; one whose process is gone is interrupted.

    Raises:
        UserError: for a folder without a readable status.
    """
    saved = Status(**read_values(run, STATUS_FILE))
    if saved.active and saved.process() is None:
        # It may have ended properly between the two looks: then the file says so now.
        saved = Status(**read_values(run, STATUS_FILE))
        if saved.active:
            message = "its process ended without finishing"
            return replace(saved, state=INTERRUPTED, message=message)
    return saved


def identity(process: psutil.Process) -> dict[str, Any]:
    """Returns the fields of a status that name its process."""
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
            f" is no complete run: it has no {name}. Expected a folder that "
            "`mocoop train` made; `mocoop runs` lists them.",
        ) from error
    except (OSError, ValueError) as error:
        raise PathError(path, f" cannot be read ({error}). Train the run again.") from error
    if not isinstance(value, dict):
        raise PathError(path, " holds no settings. Train the run again.")
    return value
