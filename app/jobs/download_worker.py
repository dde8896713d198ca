"""The process of a download: `python -m app.jobs.download_worker FOLDER`.

It imports no torch, so it starts at once. The folder has the request, and gets the status.
"""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from mocoop.clip.hub import HubOfflineError, HubWeights, download
from mocoop.errors import UserError
from mocoop.runs.status import (
    FAILED,
    FINISHED,
    RUNNING,
    STATUS_FILE,
    Status,
    identity,
    read_values,
    saved_status,
    status_values,
)
from mocoop.storage.atomic import exclusive_lock, overwrite_json, write_json

REQUEST = "request.json"


@dataclass(frozen=True)
class DownloadStatus(Status):
    """The status of a download."""

    received: int = 0
    """Bytes that have arrived."""
    total: int = 0
    """Bytes of the whole file; 0 if not known."""
    offline: bool = False
    """Whether it failed because the hub does not answer."""


def write_status(folder: Path, status: DownloadStatus) -> None:
    """Writes a download's status; if the disk is full, it overwrites the old file in place."""
    values = status_values(replace(status, updated=time.time()))
    try:
        write_json(folder / STATUS_FILE, values)
    except OSError:
        overwrite_json(folder / STATUS_FILE, values)


def main(folder: Path) -> None:
    """Downloads the weights that the folder's request names, and keeps the status up to date."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the hub removes its part
    request = read_values(folder, REQUEST)
    weights = HubWeights(request["repository"], tuple(request["files"]))
    with exclusive_lock(folder):  # until the server has written this process's number
        status = saved_status(folder, DownloadStatus)
        status = replace(status, state=RUNNING, **identity(psutil.Process()))
        write_status(folder, status)

    def show(received: int, total: int) -> None:
        nonlocal status
        status = replace(status, received=received, total=total)
        write_status(folder, status)

    ended: dict[str, Any] = {"state": FINISHED, "message": ""}
    try:
        download(weights, show)
    except UserError as error:
        offline = isinstance(error, HubOfflineError)
        ended = {"state": FAILED, "message": str(error), "offline": offline}
    write_status(folder, replace(status, **ended))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
