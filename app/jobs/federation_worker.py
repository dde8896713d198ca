"""The process of a queued federation: `python -m app.jobs.federation_worker FOLDER`.

It waits for its turn without importing torch, and then trains the federation in the folder, or
goes on after its last finished round.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from mocoop.errors import UserError
from mocoop.runs.paths import default_runs
from mocoop.runs.queue import POLL_SECONDS, is_busy, wait_for_turn
from mocoop.runs.status import FAILED, FINISHED, RUNNING, STATUS_FILE, Status, read_values
from mocoop.storage.atomic import write_json

REQUEST = "request.json"


def main(folder: Path) -> None:
    """Trains the federation in a folder when the trainings before it have ended."""
    if not wait_for_turn(folder):
        return
    while is_busy(default_runs()):
        time.sleep(POLL_SECONDS)
    train(folder)


def train(folder: Path) -> None:
    """Trains the federation in a folder and keeps its status up to date."""
    from dataclasses import asdict

    from mocoop.federated.settings import FederatedConfig
    from mocoop.federated.store import run_federation
    from mocoop.runs.status import saved_status

    status = replace(saved_status(folder, Status), state=RUNNING)

    def write(**changes: Any) -> None:
        nonlocal status
        status = replace(status, **changes, updated=time.time())
        write_json(folder / STATUS_FILE, asdict(status))

    write()
    try:
        config = FederatedConfig.from_dict(read_values(folder, REQUEST))
        write(epochs=config.rounds)
        for record in run_federation(folder, config):
            write(epoch=record.number)
    except UserError as error:
        write(state=FAILED, message=str(error))
    else:
        write(state=FINISHED)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
