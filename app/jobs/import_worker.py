"""The process that imports prompts: `python -m app.jobs.import_worker FOLDER`.

The folder has the request and the uploaded files, and gets the status.
"""

from __future__ import annotations

import signal
import sys
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import psutil

from mocoop.config import NamePosition, TrainConfig
from mocoop.errors import UserError, UserNote
from mocoop.runs.status import (
    FAILED,
    FINISHED,
    RUNNING,
    STATUS_FILE,
    Status,
    identity,
    read_values,
    saved_status,
)
from mocoop.storage.atomic import exclusive_lock, overwrite_json, write_json
from mocoop.templates import groups_in

REQUEST = "request.json"
CHECKPOINT, GROUPS = "checkpoint", "groups"  # folders, so that every name of a file is free
_SECONDS = 0.3  # between two writes of the status


@dataclass(frozen=True)
class ImportRequest:
    """What to import, and what the file does not say."""

    file: str
    """Name of the checkpoint."""
    data: str
    backbone: str
    shots: int = 16
    seed: int = 1
    position: str = "end"
    """Where the class name stands in CoOp's context."""
    groups: str = ""
    """Name of the file of templates; "" uses those of the data set."""


@dataclass(frozen=True)
class ImportStatus(Status):
    """The status of an import."""

    done: int = 0
    """Images encoded."""
    total: int = 0
    """Of how many; 0 before it is known."""
    run: str = ""
    """Name of the new run, when it is finished."""
    notes: tuple[str, ...] = ()
    """What the file leaves open."""


def write_status(folder: Path, status: ImportStatus) -> None:
    """Writes an import's status; if the disk is full, it overwrites the old file in place."""
    values = asdict(replace(status, updated=time.time()))
    try:
        write_json(folder / STATUS_FILE, values)
    except OSError:
        overwrite_json(folder / STATUS_FILE, values)


def import_here(folder: Path) -> None:
    """Imports what a folder's request names, and keeps its status up to date."""
    request = ImportRequest(**read_values(folder, REQUEST))
    with exclusive_lock(folder):  # until the server has written this process's number
        status = saved_status(folder, ImportStatus)
        status = replace(status, state=RUNNING, **identity(psutil.Process()))
        write_status(folder, status)
    written = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal status, written
        status = replace(status, done=done, total=total)
        if time.monotonic() - written > _SECONDS:
            written = time.monotonic()
            write_status(folder, status)

    path = folder / CHECKPOINT / request.file
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserNote)
        try:
            from mocoop.exchange.import_prompts import import_prompts

            position = cast(NamePosition, request.position)
            config = _settings(folder, request)
            run = import_prompts(path, config, position=position, encoding=show).name
            ended = replace(status, state=FINISHED, run=run)
        except UserError as error:
            message = str(error).replace(str(path), request.file)
            ended = replace(status, state=FAILED, message=message)
    notes = tuple(str(note.message) for note in caught if issubclass(note.category, UserNote))
    write_status(folder, replace(ended, notes=notes))


def _settings(folder: Path, request: ImportRequest) -> TrainConfig:
    config = TrainConfig(
        data=request.data, backbone=request.backbone, shots=request.shots, seed=request.seed
    )
    if not request.groups:
        return config
    content = (folder / GROUPS / request.groups).read_bytes()
    return replace(config, groups=groups_in(content, request.groups))


def main(folder: Path) -> None:
    """Imports in a process of its own, which removes what it began when it is stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    import_here(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
