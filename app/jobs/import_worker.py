"""The process that imports prompts: `python -m app.jobs.import_worker FOLDER`.

The folder has the request and the uploaded files, and gets the status.
"""

from __future__ import annotations

import signal
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from app.jobs.job_folder import Job, request_in
from mocoop.config import NamePosition, TrainConfig
from mocoop.errors import UserNote
from mocoop.runs.status import Status
from mocoop.storage.typed_json import Count
from mocoop.templates import groups_in

CHECKPOINT, GROUPS = "checkpoint", "groups"  # folders, so that every name of a file is free


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

    done: Count = 0
    """Images encoded."""
    total: Count = 0
    """Of how many; 0 before it is known."""
    run: str = ""
    """Name of the new run, when it is finished."""
    notes: tuple[str, ...] = ()
    """What the file leaves open."""


def import_here(folder: Path) -> None:
    """Imports what a folder's request names, and keeps its status up to date."""
    request = request_in(folder, ImportRequest)
    job = Job.begun(folder, ImportStatus)
    path = folder / CHECKPOINT / request.file
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserNote)
        with job.outcome():
            job.status = replace(job.status, run=_import(folder, request, path, job))
    notes = tuple(str(note.message) for note in caught if issubclass(note.category, UserNote))
    message = job.status.message.replace(str(path), request.file)
    job.show(notes=notes, message=message)


def _import(folder: Path, request: ImportRequest, path: Path, job: Job[ImportStatus]) -> str:
    """Returns the name of the new run."""
    from mocoop.exchange.import_prompts import import_prompts

    def show(done: int, total: int) -> None:
        job.show(now=False, done=done, total=total)

    position = cast(NamePosition, request.position)
    config = _settings(folder, request)
    return import_prompts(path, config, position=position, encoding=show).name


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
