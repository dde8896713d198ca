"""Writes and groups templates in separate processes, which continue when the page is closed.

Everything about a request is in a folder of the cache: its candidates, status and result. The
folder is named by what was asked for, so that the same question is answered only once.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from app.common.access import check_clip, check_endpoint
from app.jobs.job_folder import (
    KEY,
    LOG,
    REQUEST,
    check_not_newer,
    forget_old,
    hand_over,
    mark_cancelled,
    new_status,
    request_in,
    status_in,
    stop_job,
    write_status,
)
from app.jobs.processes import start_process
from app.jobs.standby import job_environment
from app.jobs.template_worker import (
    CANDIDATES,
    LINES,
    MEANS,
    MODEL,
    RESULT,
    MakingRequest,
    MakingStatus,
)
from mocoop.errors import UserError
from mocoop.runs.status import FINISHED, read_bytes, read_values
from mocoop.storage.atomic import exclusive_lock, explain_write_errors, write_json
from mocoop.storage.cache_folder import default_cache
from mocoop.storage.typed_json import convert, decode
from mocoop.template_making.candidates import Judged, given_templates
from mocoop.template_making.endpoint import check_address, check_client, holds_a_secret

FOLDER = "templates"
KEPT = 40  # folders of requests


@dataclass(frozen=True, eq=False)
class MakingResult:
    """Groups of templates, and all that led to them."""

    document: dict[str, Any]
    """As `mocoop data templates --out` writes it."""
    judged: tuple[Judged, ...]
    """Every candidate, in order."""
    templates: tuple[str, ...]
    """Those that passed the checks; some may be in no group."""
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
        check_not_newer(folder)
        before = status_of(key)
        if before is not None and (before.active or before.state == FINISHED):
            return key
        forget_old(folder.parent, MakingStatus, KEPT - 1)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            write_status(folder, new_status(MakingStatus))
            write_json(folder / REQUEST, asdict(request))
            process = start_process(
                ["app.jobs.template_worker", str(folder)],
                folder / LOG,
                job_environment(),
                "The writing of templates",
            )
        except (OSError, UserError):
            shutil.rmtree(folder)
            raise
        hand_over(folder, MakingStatus, process.pid)
    return key


def check_request(request: MakingRequest, address: str | None) -> None:
    """Raises UserError for a request that cannot be answered, before anything is started."""
    check_clip(request.clip, address)
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
    return status_in(_folder(key), MakingStatus) if KEY.fullmatch(key) else None


def request_of(key: str) -> MakingRequest | None:
    """Returns what was asked for; None if there is no such request."""
    if not KEY.fullmatch(key):
        return None
    try:
        return request_in(_folder(key), MakingRequest)
    except UserError:
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
    try:
        judged = convert(document.get("candidates"), tuple[Judged, ...])
        with np.load(folder / MEANS) as saved:
            means, encoded = saved["means"], saved["encoded"]
            templates = tuple(saved["templates"].tolist())
    except (UserError, OSError, ValueError, KeyError, BadZipFile) as error:
        raise UserError(f"{folder} cannot be read: {error}. Write them again.") from error
    return MakingResult(document, judged, templates, means, tuple(encoded.tolist()))


def cancel_making(key: str, patience: float = 5.0) -> None:
    """Stops the process of a request, and returns when it has ended.

    Args:
        key: of the request; nothing happens if it is not being answered.
        patience: seconds to wait after SIGTERM before the process is killed.
    """
    if stop_job(status_of(key), patience):
        mark_cancelled(_folder(key), MakingStatus)


def log_of(key: str) -> Path:
    """Returns the file with the output of a request's process."""
    return _folder(key) / LOG


def _folder(key: str) -> Path:
    return default_cache().resolve() / FOLDER / key


def _judged(path: Path) -> tuple[Judged, ...]:
    try:
        return decode(read_bytes(path), tuple[Judged, ...])
    except (OSError, UserError):  # none yet, or of another version
        return ()
