"""Imports of prompts in separate processes, which continue when the page is closed.

Everything about an import is in a folder of the cache: the uploaded files, its request and its
status.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath

import psutil

from app.common.access import check_may_change
from app.jobs.import_worker import (
    CHECKPOINT,
    GROUPS,
    REQUEST,
    ImportRequest,
    ImportStatus,
    write_status,
)
from app.jobs.processes import start_process, stop_process
from app.jobs.standby import job_environment
from mocoop.errors import UserError
from mocoop.runs.status import (
    CANCELLED,
    INTERRUPTED,
    QUEUED,
    STATUS_FILE,
    identity,
    saved_status,
    with_process,
)
from mocoop.storage.atomic import exclusive_lock, explain_write_errors, write_json
from mocoop.storage.cache_folder import default_cache

FOLDER, LOG = "imports", "log.txt"
KEPT = 4  # folders of imports; one may hold a checkpoint with the whole CLIP
_KEY = re.compile(r"[0-9a-f]{16}")
_LONGEST = 100  # letters of a file's name


def file_name(given: str, otherwise: str) -> str:
    """Returns the name of an uploaded file without folders, or another one if nothing is left."""
    name = PurePosixPath(given.replace("\\", "/")).name[-_LONGEST:]
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
        _forget_old()
        folder.mkdir(parents=True)
        try:
            for kind, name in ((CHECKPOINT, request.file), (GROUPS, request.groups)):
                if name:
                    (folder / kind).mkdir()
                    (folder / kind / name).write_bytes(files[kind])
            status = ImportStatus(QUEUED, started=time.time(), **identity(psutil.Process()))
            write_status(folder, status)
            write_json(folder / REQUEST, asdict(request))
            launch(folder)
        except (OSError, UserError):
            shutil.rmtree(folder)
            raise
    return key


def launch(folder: Path) -> None:
    """Starts the process of an import, and writes down which one it is."""
    environment = job_environment() | {"MOCOOP_CACHE": str(default_cache().resolve())}
    with exclusive_lock(folder):
        module = ["app.jobs.import_worker", str(folder)]
        process = start_process(module, folder / LOG, environment, "The import")
        status = saved_status(folder, ImportStatus)
        write_status(folder, replace(status, **identity(psutil.Process(process.pid))))


def status_of(key: str) -> ImportStatus | None:
    """Returns the status of an import; None if there is no such import."""
    folder = _folder(key)
    if not _KEY.fullmatch(key) or not (folder / STATUS_FILE).exists():
        return None
    with suppress(UserError):  # of another version
        return with_process(lambda: saved_status(folder, ImportStatus))
    return None


def cancel_import(key: str, patience: float = 5.0) -> None:
    """Stops an import, and returns when its process has ended and removed what it began.

    Args:
        key: of the import; nothing happens if it is over.
        patience: seconds to wait after SIGTERM before the process is killed.
    """
    check_may_change()
    status = status_of(key)
    process = status.process() if status is not None and status.active else None
    if process is None or process.pid == os.getpid():
        return
    stop_process(process, patience)
    stopped = status_of(key)
    if stopped is not None and stopped.state == INTERRUPTED:
        with suppress(OSError):
            write_status(_folder(key), replace(stopped, state=CANCELLED, message=""))


def forget(key: str) -> None:
    """Removes the uploaded files of an import that is over."""
    status = status_of(key)
    if status is None or not status.active:
        shutil.rmtree(_folder(key), ignore_errors=True)


def _folder(key: str) -> Path:
    return default_cache().resolve() / FOLDER / key


def _forget_old() -> None:
    """Removes the folders of the oldest imports that are over."""
    every = [path for path in _folder("").glob("*") if _KEY.fullmatch(path.name)]
    newest_first = sorted(every, key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest_first[KEPT - 1 :]:
        forget(path.name)
