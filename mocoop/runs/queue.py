"""The queue of trainings: those in the same folder of runs wait for each other.

The order is read only from the runs' status files, so that it does not depend on a browser or a
server. It needs no torch, so that a waiting process uses little memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from mocoop.errors import UserError
from mocoop.runs.status import QUEUED, RUNNING, STATUS_FILE, Status, read_status

POLL_SECONDS = 0.3


def ahead_of(run: Path) -> list[Path]:
    """Returns the runs in the same folder that must end before this queued run may start.

    These are all running runs and the runs queued earlier, in the order of the queue.
    """
    position = (read_status(run).started, run.name)
    before: list[tuple[bool, float, str, Path]] = []
    for other, status in _active(run.parent):
        if other == run:
            continue
        if status.state == RUNNING or (status.started, other.name) < position:
            before.append((status.state == QUEUED, status.started, other.name, other))
    return [entry[-1] for entry in sorted(before)]


def is_busy(runs: Path) -> bool:
    """Returns whether a run in a folder of runs is running or waiting."""
    return next(_active(runs), None) is not None


def wait_for_turn(run: Path) -> bool:
    """Waits; returns True when the run may start, False if it is no longer queued."""
    while True:
        status = _status_or_none(run)
        if status is None or status.state != QUEUED:
            return False
        # The server names this process in the status only after it has started it.
        if status.pid == os.getpid() and not ahead_of(run):
            return True
        time.sleep(POLL_SECONDS)


def _active(runs: Path) -> Iterator[tuple[Path, Status]]:
    """Yields the runs in a folder that are running or waiting, each with its status."""
    for file in runs.glob(f"*/{STATUS_FILE}"):
        status = _status_or_none(file.parent)
        if status is not None and status.active:
            yield file.parent, status


def _status_or_none(run: Path) -> Status | None:
    """Returns a run's status; None if it is missing or damaged."""
    try:
        return read_status(run)
    except UserError:
        return None
