"""The process of a download: `python -m app.jobs.download_worker FOLDER`.

It imports no torch, so it starts at once. The folder has the request, and gets the status.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from app.jobs.job_folder import Job, request_in
from mocoop.clip.hub import HubOfflineError, HubWeights, download
from mocoop.runs.status import Status
from mocoop.storage.typed_json import Count


@dataclass(frozen=True)
class DownloadStatus(Status):
    """The status of a download."""

    received: Count = 0
    """Bytes that have arrived."""
    total: Count = 0
    """Bytes of the whole file; 0 if not known."""
    offline: bool = False
    """Whether it failed because the hub does not answer."""


def main(folder: Path) -> None:
    """Downloads the weights that the folder's request names, and keeps the status up to date."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the hub removes its part
    weights = request_in(folder, HubWeights)
    job = Job.begun(folder, DownloadStatus)

    def show(received: Count, total: int) -> None:
        job.show(received=received, total=total)

    with job.outcome():
        try:
            download(weights, show)
        except HubOfflineError:
            job.status = replace(job.status, offline=True)
            raise
    job.show()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
