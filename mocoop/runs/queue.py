"""Whose turn it is: trainings of one folder of runs wait for each other.

The order is read from the runs' status files alone, so that it survives browsers and servers,
and without torch, so that waiting costs nothing.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from mocoop.errors import UserError
from mocoop.runs.status import QUEUED, RUNNING, STATUS_FILE, Status, read_status

POLL_SECONDS = 0.3


def ahead_of(run: Path) -> list[Path]:
    """Returns the runs of the same folder that have to end before this queued one may start.

    That is all that are running and those queued earlier, in the order of their turn.
    """
    place = (read_status(run).started, run.name)
    before: list[tuple[bool, float, str, Path]] = []
    for file in run.parent.glob(f"*/{STATUS_FILE}"):
        other = file.parent
        status = _status_or_none(other)
        if status is None or other == run or not status.active:
            continue
        if status.state == RUNNING or (status.started, other.name) < place:
            before.append((status.state == QUEUED, status.started, other.name, other))
    return [entry[-1] for entry in sorted(before)]


def wait_for_turn(run: Path) -> bool:
    """Returns True when the run may start, False if it is no longer this process's to train."""
    while True:
        status = _status_or_none(run)
        if status is None or status.state != QUEUED:
            return False
        # The server names this process in the status only after it has started it.
        if status.pid == os.getpid() and not ahead_of(run):
            return True
        time.sleep(POLL_SECONDS)


def _status_or_none(run: Path) -> Status | None:
    """Returns a run's status; None for a folder that is gone or of another format."""
    try:
        return read_status(run)
    except (UserError, TypeError):
        return None
