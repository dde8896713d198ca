"""The process of a queued run: it waits for its turn without importing torch, then trains.

When its turn comes, `python -m app.jobs.worker RUN` becomes
`python -m mocoop train --config RUN/request.json --run RUN`, or with `--resume`
`python -m mocoop resume RUN`.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from app.jobs.job_folder import REQUEST
from mocoop.runs.queue import wait_for_turn

RESUME = "--resume"


def main(run: Path, resume: bool) -> None:
    """Waits for the run's turn and trains it with the `mocoop` command."""
    if wait_for_turn(run):
        train = ["train", "--config", str(run / REQUEST), "--run", str(run)]
        sys.argv = ["mocoop", *(["resume", str(run)] if resume else train), "--quiet"]
        runpy.run_module("mocoop", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), RESUME in sys.argv[2:])
