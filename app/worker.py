"""The process behind a queued run: waits for its turn without torch, then trains.

`python -m app.worker RUN` becomes `python -m mocoop train --config RUN/request.json --run RUN`
as soon as every run that was queued before it in the same folder is done. The order is read
from the runs' status files alone, so that it survives browsers and servers.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from pathlib import Path

from mocoop.errors import UserError
from mocoop.status import QUEUED, RUNNING, STATUS_FILE, Status, read_status

REQUEST = "request.json"
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
        status = read_status(run)
        if status.state != QUEUED:
            return False
        # The server names this process in the status only after it has started it.
        if status.pid == os.getpid() and not ahead_of(run):
            return True
        time.sleep(POLL_SECONDS)


def main(run: Path) -> None:
    """Waits for the run's turn and trains it with the `mocoop` command."""
    if wait_for_turn(run):
        request = str(run / REQUEST)
        sys.argv = ["mocoop", "train", "--config", request, "--run", str(run), "--quiet"]
        runpy.run_module("mocoop", run_name="__main__", alter_sys=True)


def _status_or_none(run: Path) -> Status | None:
    """Returns a run's status; None for a folder of another format, which has no turn."""
    try:
        return read_status(run)
    except (UserError, TypeError):
        return None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
