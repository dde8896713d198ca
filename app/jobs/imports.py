"""Imports of prompts in separate processes, which continue when the page is closed.

Everything about an import is in a folder of the cache: the uploaded files, its request and its
status.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from app.common.access import check_may_change
from app.jobs.import_worker import CHECKPOINT, GROUPS, ImportRequest, ImportStatus
from app.jobs.job_folder import (
    KEY,
    LOG,
    REQUEST,
    forget_old,
    hand_over,
    mark_cancelled,
    new_status,
    remove_if_over,
    status_in,
    stop_job,
    write_status,
)
from app.jobs.processes import start_process
from app.jobs.standby import job_environment
from mocoop.errors import UserError
from mocoop.storage.atomic import exclusive_lock, explain_write_errors, write_json
from mocoop.storage.cache_folder import default_cache

FOLDER = "imports"
KEPT = 4  # folders of imports; one may hold a checkpoint with the whole CLIP
_LONGEST = 100  # bytes of a file's name


def file_name(given: str, otherwise: str) -> str:
    """Returns the name of an uploaded file without folders, or another one if nothing is left."""
    last = PurePosixPath(given.replace("\\", "/")).name
    name = last.encode(errors="ignore")[-_LONGEST:].decode(errors="ignore")
    return otherwise if name in ("", ".", "..") or "\0" in name else name


def start_import(request: ImportRequest, files: Mapping[str, bytes | memoryview]) -> str:
    """Starts the process that imports a checkpoint; returns the key of the import.

    Args:
        request: what to import.
        files: `CHECKPOINT` → its content, and `GROUPS` → that of the file of templates.

    Raises:
        UserError: if nothing can be written, the process cannot be started, or the server is
            read-only.
    """
    check_may_change()
    key = secrets.token_hex(8)
    folder = _folder(key)
    with explain_write_errors(folder, "MOCOOP_CACHE"):
        forget_old(folder.parent, ImportStatus, KEPT - 1)
        folder.mkdir(parents=True)
        try:
            for kind, name in ((CHECKPOINT, request.file), (GROUPS, request.groups)):
                if name:
                    (folder / kind).mkdir()
                    (folder / kind / name).write_bytes(files[kind])
            write_status(folder, new_status(ImportStatus))
            write_json(folder / REQUEST, asdict(request))
            launch(folder)
        except (OSError, UserError):
            shutil.rmtree(folder)
            raise
    return key


def launch(folder: Path) -> None:
    """Starts the process of an import, and writes down which one it is."""
    with exclusive_lock(folder):
        module = ["app.jobs.import_worker", str(folder)]
        process = start_process(module, folder / LOG, job_environment(), "The import")
        hand_over(folder, ImportStatus, process.pid)


def status_of(key: str) -> ImportStatus | None:
    """Returns the status of an import; None if there is no such import."""
    return status_in(_folder(key), ImportStatus) if KEY.fullmatch(key) else None


def cancel_import(key: str, patience: float = 5.0) -> None:
    """Stops an import, and returns when its process has ended and removed what it began.

    Args:
        key: of the import; nothing happens if it is over.
        patience: seconds to wait after SIGTERM before the process is killed.
    """
    check_may_change()
    if stop_job(status_of(key), patience):
        mark_cancelled(_folder(key), ImportStatus)


def forget(key: str) -> None:
    """Removes the uploaded files of an import that is over."""
    if KEY.fullmatch(key):
        remove_if_over(_folder(key), ImportStatus)


def _folder(key: str) -> Path:
    return default_cache().resolve() / FOLDER / key
