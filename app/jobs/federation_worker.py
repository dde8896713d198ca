"""The process of a queued federation: `python -m app.jobs.federation_worker FOLDER`.

It waits for its turn without importing torch, and then trains the federation in the folder, or
goes on after its last finished round.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from app.jobs.job_folder import REQUEST, Job
from mocoop.runs.paths import default_runs
from mocoop.runs.queue import POLL_SECONDS, is_busy, wait_for_turn
from mocoop.runs.status import Status, read_values


def main(folder: Path) -> None:
    """Trains the federation in a folder when the trainings before it have ended."""
    if not wait_for_turn(folder):
        return
    while is_busy(default_runs()):
        time.sleep(POLL_SECONDS)
    train(folder)


def train(folder: Path) -> None:
    """Trains the federation in a folder and keeps its status up to date."""
    from mocoop.federated.settings import FederatedConfig
    from mocoop.federated.store import run_federation

    job = Job.begun(folder, Status)
    with job.outcome():
        config = FederatedConfig.from_dict(read_values(folder, REQUEST))
        job.show(epochs=config.rounds)
        for record in run_federation(folder, config):
            job.show(epoch=record.number)
    job.show()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
