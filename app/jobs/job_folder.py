"""The folder of a background job: what was asked for, what its process printed, and its status.

A page asks for a job, a process of its own does it, and the folder is all that both know of each
other; so a job goes on when the page or the server is closed. Nothing here needs torch.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic

import psutil

from app.jobs.processes import stop_process
from mocoop.errors import UserError
from mocoop.runs.status import (
    CANCELLED,
    FAILED,
    FINISHED,
    INTERRUPTED,
    QUEUED,
    RUNNING,
    AnyDataclass,
    AnyStatus,
    State,
    Status,
    checked,
    identity,
    identity_of_started,
    read_values,
    saved_status,
    with_process,
    write_last_status,
)
from mocoop.storage.atomic import DISK_FULL, NOT_WRITABLE, exclusive_lock, why_not_written
from mocoop.storage.formats import NewerError

REQUEST, LOG = "request.json", "log.txt"
KEY = re.compile(r"[0-9a-f]{16}")
"""The name of a job's folder, where a link names it."""
_SECONDS = 0.3  # between two writes of a status


def status_in(folder: Path, kind: type[AnyStatus]) -> AnyStatus | None:
    """Returns the status of a job; `interrupted` if its process has ended early.

    None if there is no job, or its status is damaged or of another version: whatever the file
    holds, nothing is raised.
    """
    try:
        return with_process(lambda: saved_status(folder, kind))
    except UserError:
        return None


def check_not_newer(folder: Path) -> None:
    """Raises NewerError if a newer version of MoCoOp has written the status in a folder.

    A server that was started before an update leaves such a job alone: it may be at work.
    """
    try:
        saved_status(folder, Status)
    except NewerError:
        raise
    except UserError:  # none, or a damaged one
        pass


def remove_if_over(folder: Path, kind: type[Status]) -> None:
    """Removes the folder of a job that is over; nothing happens while it may be at work."""
    try:
        check_not_newer(folder)
    except NewerError:
        return
    status = status_in(folder, kind)
    if status is None or not status.active:
        shutil.rmtree(folder, ignore_errors=True)


def request_in(folder: Path, kind: type[AnyDataclass]) -> AnyDataclass:
    """Returns what a job was asked for.

    Raises:
        UserError: if it is missing, damaged, or of another version.
    """
    return checked(read_values(folder, REQUEST), kind, folder / REQUEST)


def new_status(kind: type[AnyStatus]) -> AnyStatus:
    """Returns the status of a job that has no process yet: the caller's stands for it."""
    return kind(QUEUED, started=time.time(), **identity(psutil.Process()))


def write_status(folder: Path, status: Status) -> None:
    """Writes a job's status; if the disk is full, it overwrites the old file in place."""
    write_last_status(folder, replace(status, updated=time.time()))


def hand_over(folder: Path, kind: type[Status], pid: int) -> None:
    """Writes down which process does a job; to be called with the lock of the folder.

    If it has ended already, the job is interrupted.

    Raises:
        UserError: if the status cannot be read.
    """
    write_status(folder, replace(saved_status(folder, kind), **identity_of_started(pid)))


def stop_job(status: Status | None, patience: float) -> bool:
    """Stops the process of a job, and returns when it has ended.

    Args:
        status: of the job; None if there is none.
        patience: seconds to wait after SIGTERM before the process is killed.

    Returns:
        Whether there was a process to stop: not if the job is over, or was never handed over.
    """
    process = status.process() if status is not None and status.active else None
    if process is None or process.pid == os.getpid():
        return False
    stop_process(process, patience)
    return True


def mark_cancelled(folder: Path, kind: type[Status]) -> None:
    """Marks a job as cancelled if its process was stopped before it ended by itself."""
    status = status_in(folder, kind)
    if status is not None and status.state == INTERRUPTED:
        with suppress(OSError):  # on a full disk it keeps the state "interrupted"
            write_status(folder, replace(status, state=CANCELLED, message=""))


def forget_old(jobs: Path, kind: type[Status], kept: int) -> None:
    """Removes the folders of the oldest jobs that are over.

    Args:
        jobs: the folder of their folders.
        kind: of their status.
        kept: how many may stay.
    """
    found = []
    for path in jobs.glob("*"):
        with suppress(OSError):  # another server has removed it
            if KEY.fullmatch(path.name):
                found.append((path.stat().st_mtime, path))
    for _, path in sorted(found, reverse=True)[kept:]:
        remove_if_over(path, kind)


@dataclass
class Job(Generic[AnyStatus]):
    """A job in the process that does it: it keeps its status up to date."""

    folder: Path
    status: AnyStatus
    _written: float = field(default_factory=time.monotonic)

    @classmethod
    def begun(cls, folder: Path, kind: type[AnyStatus], state: State = RUNNING) -> Job[AnyStatus]:
        """Returns the job of a folder, which this process does from now on.

        Args:
            folder: its folder.
            kind: of its status.
            state: its state from now on: queued if it waits for its turn.

        Raises:
            UserError: if its status cannot be read.
        """
        with exclusive_lock(folder):  # until the server has written this process's number
            status = saved_status(folder, kind)
            job = cls(folder, replace(status, state=state, **identity(psutil.Process())))
            write_status(folder, job.status)
        return job

    def show(self, now: bool = True, **changes: Any) -> None:
        """Changes the status.

        Args:
            now: whether it is written at once, or only if it was not written for a moment.
            changes: fields of the status with their new values.
        """
        self.status = replace(self.status, **changes)
        if now or time.monotonic() - self._written > _SECONDS:
            self._written = time.monotonic()
            write_status(self.folder, self.status)

    @contextmanager
    def outcome(self) -> Iterator[None]:
        """Sets the state after the block: finished, or failed with the error for the user.

        `show` has to write it.
        """
        state: State = FAILED
        message = ""
        try:
            yield
            state = FINISHED
        except UserError as error:
            message = str(error)
        except OSError as error:
            if error.errno not in (*DISK_FULL, *NOT_WRITABLE):
                raise
            message = why_not_written(error)
        self.status = replace(self.status, state=state, message=message)
