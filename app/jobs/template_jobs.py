"""Writes and groups templates in separate processes, which continue when the page is closed.

Everything about a request is in a folder of the cache: its candidates, status and result. The
folder is named by what was asked for, so that the same question is answered only once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from app.common.access import check_clip, check_endpoint
from app.jobs.processes import start_process, stop_process
from app.jobs.standby import job_environment
from app.jobs.template_worker import (
    CANDIDATES,
    LINES,
    MEANS,
    MODEL,
    REQUEST,
    RESULT,
    MakingRequest,
    MakingStatus,
    write_status,
)
from mocoop.errors import UserError
from mocoop.runs.status import (
    CANCELLED,
    FINISHED,
    INTERRUPTED,
    QUEUED,
    STATUS_FILE,
    identity,
    read_values,
    saved_status,
    status_values,
    with_process,
)
from mocoop.storage.atomic import exclusive_lock, explain_write_errors, write_json
from mocoop.storage.cache_folder import default_cache
from mocoop.template_making.candidates import Judged, given_templates
from mocoop.template_making.endpoint import check_address, check_client, holds_a_secret

FOLDER, LOG = "templates", "log.txt"
KEPT = 40  # folders of requests
_KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, eq=False)
class MakingResult:
    """Groups of templates, and all that led to them."""

    document: dict[str, Any]
    """As `mocoop data templates --out` writes it."""
    judged: tuple[Judged, ...]
    """Every candidate, in order."""
    templates: tuple[str, ...]
    """Those that were kept."""
    means: np.ndarray
    """Their mean features over the encoded classes, (templates, dim)."""
    encoded: tuple[int, ...]
    """The labels of these classes."""


def start_making(request: MakingRequest, address: str | None) -> str:
    """Starts the process that writes templates; returns the key of the request.

    Nothing happens if the same request is being answered, or has been.

    Args:
        request: what to write.
        address: the address that the server listens to; None for all of the machine's.

    Raises:
        UserError: if the request cannot be answered, or nothing can be written.
    """
    check_request(request, address)
    key = key_of(request)
    folder = _folder(key)
    with explain_write_errors(folder, "MOCOOP_CACHE"), exclusive_lock(folder):
        before = status_of(key)
        if before is not None and (before.active or before.state == FINISHED):
            return key
        _forget_old()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        status = MakingStatus(QUEUED, started=time.time(), **identity(psutil.Process()))
        try:
            write_json(folder / STATUS_FILE, status_values(status))
            write_json(folder / REQUEST, asdict(request))
            process = start_process(
                ["app.jobs.template_worker", str(folder)],
                folder / LOG,
                job_environment() | {"MOCOOP_CACHE": str(default_cache().resolve())},
                "The writing of templates",
            )
        except (OSError, UserError):
            shutil.rmtree(folder)
            raise
        write_status(folder, replace(status, **identity(psutil.Process(process.pid))))
    return key


def check_request(request: MakingRequest, address: str | None) -> None:
    """Raises UserError for a request that cannot be answered, before anything is started."""
    check_clip(request.clip)
    if request.writer == LINES:
        given_templates(request.lines.splitlines())
    if request.writer != MODEL:
        return
    if not request.model.strip():
        raise UserError("Name the chat model, as its endpoint calls it, such as llama3.2.")
    check_address(request.url, "Address")
    if holds_a_secret(request.url):
        raise UserError(
            "The address must not hold a user, a password or a query, because it is stored. A "
            "key belongs into the variable MOCOOP_CHAT_KEY of the server."
        )
    check_endpoint(request.url, address)
    check_client()


def key_of(request: MakingRequest) -> str:
    """Returns the name of a request's folder: 16 hexadecimal digits."""
    text = json.dumps(asdict(request), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def status_of(key: str) -> MakingStatus | None:
    """Returns the status of a request; None if there is no such request."""
    if not _KEY.fullmatch(key):
        return None
    folder = _folder(key)
    try:
        return with_process(lambda: saved_status(folder, MakingStatus))
    except UserError:  # none, or one of another version
        return None


def request_of(key: str) -> MakingRequest | None:
    """Returns what was asked for; None if there is no such request."""
    if not _KEY.fullmatch(key):
        return None
    try:
        return MakingRequest(**read_values(_folder(key), REQUEST))
    except (UserError, TypeError):
        return None


def candidates_of(key: str) -> tuple[Judged, ...]:
    """Returns the candidates so far, in order."""
    return _judged(_folder(key) / CANDIDATES)


def result_of(key: str) -> MakingResult:
    """Returns the result of a finished request.

    Raises:
        UserError: if it cannot be read.
    """
    folder = _folder(key)
    document = read_values(folder, RESULT)
    judged = tuple(Judged(**one) for one in document["candidates"])
    try:
        with np.load(folder / MEANS) as saved:
            means, encoded = saved["means"], saved["encoded"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder / MEANS} cannot be read: {error}. Write them again.") from error
    templates = tuple(one.template for one in judged if one.kept)
    return MakingResult(document, judged, templates, means, tuple(encoded.tolist()))


def cancel_making(key: str, patience: float = 5.0) -> None:
    """Stops the process of a request, and returns when it has ended.

    Args:
        key: of the request; nothing happens if it is not being answered.
        patience: seconds to wait after SIGTERM before the process is killed.
    """
    status = status_of(key)
    process = status.process() if status is not None and status.active else None
    if process is None or process.pid == os.getpid():
        return
    stop_process(process, patience)
    stopped = status_of(key)
    if stopped is not None and stopped.state == INTERRUPTED:
        with suppress(OSError):
            write_status(_folder(key), replace(stopped, state=CANCELLED, message=""))


def log_of(key: str) -> Path:
    """Returns the file with the output of a request's process."""
    return _folder(key) / LOG


def _folder(key: str) -> Path:
    return default_cache().resolve() / FOLDER / key


def _judged(path: Path) -> tuple[Judged, ...]:
    try:
        values: Sequence[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Judged(**one) for one in values)
    except (OSError, ValueError, TypeError):  # none yet, or of another version
        return ()


def _forget_old() -> None:
    """Removes the folders of the oldest requests that are not being answered."""
    every = [path for path in _folder("").glob("*") if _KEY.fullmatch(path.name)]
    newest_first = sorted(every, key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest_first[KEPT - 1 :]:
        status = status_of(path.name)
        if status is None or not status.active:
            shutil.rmtree(path, ignore_errors=True)
