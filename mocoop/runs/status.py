"""A run's status: a small file that is read often, also by processes without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import psutil
from msgspec import Meta

from mocoop.errors import PathError, UserError
from mocoop.older import FIRST
from mocoop.runs.formats import FORMAT
from mocoop.runs.schema import LIMIT, LIMITS
from mocoop.storage.atomic import overwrite_json, write_json
from mocoop.storage.formats import KEY, NewerError, check_format
from mocoop.storage.typed_json import Count, Word, convert, decode

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

QUEUED: Final = "queued"
RUNNING: Final = "running"
FINISHED: Final = "finished"
CANCELLED: Final = "cancelled"
FAILED: Final = "failed"
INTERRUPTED: Final = "interrupted"
STOPPED = (CANCELLED, FAILED, INTERRUPTED)

DAMAGED, NEWER = "damaged", "newer"
"""What lists of runs say of a run whose status cannot be read, and of one that a newer version
wrote; no run has them as its state."""
State = Literal["queued", "running", "finished", "cancelled", "failed", "interrupted"]
Time = Annotated[float, Meta(ge=0, le=1e11)]
"""Unix time in seconds."""

STATUS_FILE = "status.json"

AnyStatus = TypeVar("AnyStatus", bound="Status")
AnyDataclass = TypeVar("AnyDataclass", bound="DataclassInstance")


@dataclass(frozen=True)
class Status:
    """The status of a run: its state, its progress and its process."""

    state: State
    """queued, running, finished, cancelled, failed or interrupted."""
    message: str = ""
    """What the run is doing, or why it stopped."""
    epoch: Count = 0
    """The last finished epoch."""
    epochs: Count = 0
    """The number of epochs in the settings."""
    pid: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    """Id of the process that trains the run, or that waits in the queue to train it."""
    process_started: Time = 0.0
    """Start time of that process, because the system reuses process ids."""
    process_mark: Word = ""
    """What tells that process from others whatever the clock says; empty if the system does not
    tell it."""
    started: Time = 0.0
    """When the run was started or queued, as Unix time in seconds."""
    updated: Time = 0.0
    """When the status was last written, as Unix time in seconds."""

    @property
    def active(self) -> bool:
        """Whether the run is queued or running."""
        return self.state in (QUEUED, RUNNING)

    def process(self) -> psutil.Process | None:
        """Returns the run's process; None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            mark = _mark(process.pid)
            if self.process_mark and mark:
                same = mark == self.process_mark
            else:
                same = abs(process.create_time() - self.process_started) < 2
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def read_status(run: Path) -> Status:
    """Returns the status of the run in a folder; `interrupted` if its process has ended early.

    Raises:
        UserError: for a folder without a readable status.
    """
    return with_process(lambda: saved_status(run, Status))


def saved_status(run: Path, kind: type[AnyStatus]) -> AnyStatus:
    """Returns the status in a folder as it was saved, checked against its type.

    Raises:
        NewerError: for a folder that a newer version wrote; nothing else of it is read.
        UserError: for a folder without a readable status.
    """
    values = read_values(run, STATUS_FILE)
    check_format(values, FORMAT, run, "Run", FIRST)
    values.pop(KEY, None)
    return checked(values, kind, run / STATUS_FILE)


def checked(values: dict[str, Any], kind: type[AnyDataclass], file: Path) -> AnyDataclass:
    """Returns the values of a JSON object as a dataclass, checked against its types.

    Raises:
        UserError: if a value does not fit, or the dataclass has no field of its name.
    """
    unknown = sorted(set(values) - {field.name for field in fields(kind)})
    if unknown:
        raise PathError(
            file,
            f" has {unknown[0][:60]!r}, which this version of MoCoOp does not know. Use the "
            "version that wrote it.",
        )
    try:
        return convert(values, kind)
    except UserError as error:
        raise does_not_fit(file, error) from error


def write_status(folder: Path, status: Status) -> None:
    """Writes the status of a folder atomically."""
    write_json(folder / STATUS_FILE, status_values(status))


def write_last_status(folder: Path, status: Status) -> None:
    """Writes how something ended; if the disk is full, it overwrites the old file in place.

    Raises:
        OSError: if it cannot be written, and there is no old file.
    """
    try:
        write_status(folder, status)
    except OSError:
        if not (folder / STATUS_FILE).exists():
            raise
        overwrite_json(folder / STATUS_FILE, status_values(status))


def status_values(status: Status) -> dict[str, Any]:
    """Returns what status.json holds: the store's format and the status.

    Without a process, earlier versions can read it too.
    """
    values = asdict(status)
    if not values["process_mark"]:
        del values["process_mark"]
    return {KEY: FORMAT, **values}


def state_without_status(error: UserError) -> str:
    """Returns what lists say of a run whose status raised an error: `damaged` or `newer`."""
    return NEWER if isinstance(error, NewerError) else DAMAGED


def with_process(read: Callable[[], AnyStatus]) -> AnyStatus:
    """Returns the status that `read` reads; `interrupted` if its process has ended early."""
    saved = read()
    if saved.active and saved.process() is None:
        saved = read()  # it may have finished after the file was read
        if saved.active:
            message = "its process ended without finishing"
            return replace(saved, state=INTERRUPTED, message=message)
    return saved


def identity(process: psutil.Process) -> dict[str, Any]:
    """Returns the fields of a status that identify a process."""
    return {
        "pid": process.pid,
        "process_started": process.create_time(),
        "process_mark": _mark(process.pid),
    }


def identity_of_started(pid: int) -> dict[str, Any]:
    """Returns the fields of a status that identify a process that the caller has started.

    If it has ended already, they fit no process: the status then reads as `interrupted`, as it
    does when the process ends a moment later.
    """
    try:
        return identity(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return {"pid": pid, "process_started": 0.0, "process_mark": ""}


def _mark(pid: int) -> str:
    """Returns what tells a process from others, before and after a change of the clock.

    Linux tells the start of a process in ticks since the machine's own start. The time of day at
    that start, by which psutil makes a date of it, moves with the clock: a process seemed another
    one after the clock was set.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The name of the program, in brackets, may hold spaces and brackets.
        fields_after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return f"{boot} {fields_after_name[19]}"
    except (OSError, IndexError):  # another system, or no such process
        return ""


def read_values(run: Path, name: str) -> dict[str, Any]:
    """Returns the JSON object in a file of a run's folder.

    Raises:
        UserError: if the file is missing or damaged.
    """
    path = run / name
    try:
        return decode(read_bytes(path), dict[str, Any])
    except FileNotFoundError as error:
        raise PathError(
            run,
            f" is not a complete run: it has no {name}. Expected a folder written by "
            "`mocoop train`; `mocoop runs` lists them.",
        ) from error
    except (OSError, UserError) as error:
        raise PathError(path, f" cannot be read ({error}). Train the run again.") from error


def read_bytes(path: Path) -> bytes:
    """Returns the content of a file of a run, if it is not much larger than any run's.

    Raises:
        OSError: if it cannot be read.
        UserError: if it is too large.
    """
    size, limit = path.stat().st_size, LIMITS.get(path.name, LIMIT)
    if size > limit:
        raise UserError(f"it has {size:,} bytes; expected at most {limit:,}")
    return path.read_bytes()


def does_not_fit(path: Path, error: UserError) -> PathError:
    """Returns the error for a file of a run with a value that does not fit."""
    return PathError(path, f" does not fit: {error}. Train the run again.")
