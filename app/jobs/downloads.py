"""Downloads of CLIPs in separate processes, which continue when page or server are closed.

Everything about a download is in a folder of the cache: its request, output and status. The
weights themselves go to the hub's own cache, where every program on this machine finds them.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path

from huggingface_hub import constants

from app.common.access import check_may_change
from app.jobs.download_worker import DownloadStatus
from app.jobs.job_folder import (
    LOG,
    REQUEST,
    check_not_newer,
    hand_over,
    mark_cancelled,
    new_status,
    status_in,
    stop_job,
    write_status,
)
from app.jobs.processes import start_process
from mocoop.clip.hub import cached_file, remove_leftovers
from mocoop.clip.known import weights_of
from mocoop.errors import UserError
from mocoop.storage.atomic import exclusive_lock, explain_write_errors, write_json
from mocoop.storage.cache_folder import default_cache

FOLDER = "downloads"


def start_download(name: str) -> None:
    """Starts the download of a CLIP; nothing happens if it is there or is on its way already.

    Args:
        name: open_clip's NAME/TAG.

    Raises:
        UserError: if the hub does not have the CLIP; if nothing can be written, or the process
            cannot be started; or if the server is read-only.
    """
    check_may_change()
    weights = weights_of(name)
    if weights is None:
        raise UserError(f"{name} cannot be downloaded from the hub. Give a local file or folder.")
    folder = _folder(name)
    with explain_write_errors(folder, "MOCOOP_CACHE"), exclusive_lock(folder):
        check_not_newer(folder)
        before = status_of(name)
        if cached_file(weights) or (before is not None and before.active):
            return
        folder.mkdir(parents=True, exist_ok=True)
        try:
            write_status(folder, new_status(DownloadStatus))
            write_json(folder / REQUEST, asdict(weights))
            process = start_process(
                ["app.jobs.download_worker", str(folder)],
                folder / LOG,
                _environment(),
                "The download",
            )
        except (OSError, UserError):
            shutil.rmtree(folder)
            raise
        hand_over(folder, DownloadStatus, process.pid)


def status_of(name: str) -> DownloadStatus | None:
    """Returns the status of a CLIP's last download; None if there was none."""
    return status_in(_folder(name), DownloadStatus)


def cancel_download(name: str, patience: float = 5.0) -> None:
    """Stops a download, and returns when its process has ended and its part is removed.

    Args:
        name: open_clip's NAME/TAG; nothing happens if it is not being downloaded.
        patience: seconds to wait after SIGTERM before the process is killed.

    Raises:
        UserError: if the server is read-only.
    """
    check_may_change()
    weights = weights_of(name)
    if weights is not None and stop_job(status_of(name), patience):
        remove_leftovers(weights)
        mark_cancelled(_folder(name), DownloadStatus)


def _folder(name: str) -> Path:
    """Returns the folder of a CLIP's download."""
    return default_cache().resolve() / FOLDER / name.replace("/", "--")


def _environment() -> dict[str, str]:
    """Returns the environment of a download's process."""
    return os.environ | {
        "HF_ENDPOINT": constants.ENDPOINT,
        "HF_HUB_CACHE": str(Path(constants.HF_HUB_CACHE).resolve()),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
