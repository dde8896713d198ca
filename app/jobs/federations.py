"""Federations in separate processes, which go on when page, browser or server are closed.

A federation's folder also has the requested settings (`request.json`), the output of its process
(`log.txt`) and its status, all as a run has them. Federations run one after the other, each when
the trainings before it have ended.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.common.access import check_may_change
from app.jobs.job_folder import LOG, REQUEST, check_not_newer, status_in, stop_job
from app.jobs.processes import start_process
from app.jobs.standby import job_environment
from mocoop.assets import asset
from mocoop.errors import UserError
from mocoop.federated.comparison import folder_name, is_finished
from mocoop.federated.federation import RoundRecord
from mocoop.federated.partitions import Partition
from mocoop.federated.settings import FederatedConfig
from mocoop.federated.store import DESCRIPTION, STATE, read_description, read_records
from mocoop.runs.paths import federations
from mocoop.runs.run import Run
from mocoop.runs.status import STATUS_FILE, STOPPED, Status, read_values
from mocoop.runs.writer import hand_over, mark_cancelled, mark_stopped, queue_again, queue_run
from mocoop.storage.atomic import exclusive_lock, explain_write_errors, write_json

MOST_CLIENTS, MOST_ROUNDS = 50, 50  # that the app starts; the command has no such limit


@dataclass(frozen=True)
class Found:
    """A federation that has been started."""

    name: str
    path: Path
    config: FederatedConfig
    partition: Partition
    records: tuple[RoundRecord, ...]

    @property
    def finished(self) -> bool:
        """Whether all rounds are done."""
        return is_finished(self.config, self.records)


def shipped_federations() -> Path:
    """Returns the folder of the finished federations that come with the project."""
    return asset("federations")


def found_folders() -> dict[str, Path]:
    """Returns name → folder of every federation, the last changed first, shipped ones last.

    Those are in the order of their names: when their files were copied means nothing.
    """
    own, shipped = (
        [path.parent for path in root.glob(f"*/{DESCRIPTION}")]
        for root in (federations(), shipped_federations())
    )
    own.sort(key=lambda one: (-_changed(one), one.name))
    shipped.sort(key=lambda one: one.name)
    folders: dict[str, Path] = {}
    for path in (*own, *shipped):
        folders.setdefault(path.name, path)
    return folders


def open_federation(path: Path) -> Found:
    """Returns the federation in a folder.

    Raises:
        UserError: if it is damaged.
    """
    config, partition = read_description(path)
    return Found(path.name, path, config, partition, tuple(read_records(path)))


def start_federation(config: FederatedConfig) -> str:
    """Queues a federation, or its rest; returns its name. Nothing happens if it is finished.

    Raises:
        UserError: if the server is read-only, the federation is larger than the app starts, or
            its folder cannot be written.
    """
    check_may_change()
    if config.clients > MOST_CLIENTS or config.rounds > MOST_ROUNDS:
        raise UserError(
            f"The app starts federations of at most {MOST_CLIENTS} clients and {MOST_ROUNDS} "
            "rounds. Use the command `mocoop federated` for larger ones."
        )
    root = federations().resolve()
    name = folder_name(config)
    path = root / name
    if (shipped_federations() / name).is_dir() and not path.exists():
        return name
    with explain_write_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(root):
            if status_of(path) is None and not path.exists():
                _start_new(path, config)
            elif not is_finished(config, read_records(path)):
                _start_again(path, config)
    return name


def go_on(path: Path) -> None:
    """Queues a federation that stopped, to go on after its last finished round.

    Raises:
        UserError: if the server is read-only, or its settings cannot be read.
    """
    check_may_change()
    with explain_write_errors(path):
        _start_again(path, requested(path))


def cancel_federation(path: Path, patience: float = 5.0) -> None:
    """Stops a federation that is queued or running, and returns when its process has ended.

    Args:
        path: its folder; nothing happens if it has already ended.
        patience: seconds to wait after SIGTERM before the process is killed.

    Raises:
        UserError: if the server is read-only.
    """
    check_may_change()
    if stop_job(status_of(path), patience):
        with suppress(OSError):  # on a full disk it keeps the state "interrupted"
            mark_cancelled(Run(path))


def status_of(path: Path) -> Status | None:
    """Returns the status of a federation that the app started; None for all others."""
    return status_in(path, Status)


def requested(path: Path) -> FederatedConfig:
    """Returns the settings with which a federation was started.

    Raises:
        UserError: if they cannot be read.
    """
    return FederatedConfig.from_dict(read_values(path, REQUEST))


def active_federations() -> dict[Path, Status]:
    """Returns folder → status of those that are running or waiting, the oldest first."""
    found = {}
    for file in federations().glob(f"*/{STATUS_FILE}"):
        status = status_of(file.parent)
        if status is not None and status.active:
            found[file.parent] = status
    return dict(sorted(found.items(), key=lambda one: (one[1].started, one[0].name)))


def stopped_federations() -> dict[Path, Status]:
    """Returns folder → status of those that stopped before their end, the last changed first."""
    found = {}
    for file in federations().glob(f"*/{STATUS_FILE}"):
        status = status_of(file.parent)
        if status is not None and status.state in STOPPED:
            found[file.parent] = status
    return dict(sorted(found.items(), key=lambda one: -one[1].updated))


def _start_new(path: Path, config: FederatedConfig) -> None:
    run = queue_run(path)
    try:
        write_json(path / REQUEST, config.to_dict())
        _start_process(run)
    except (OSError, UserError):
        shutil.rmtree(path)  # otherwise it would stay in the queue without a process
        raise


def _start_again(path: Path, config: FederatedConfig) -> None:
    check_not_newer(path)
    before = status_of(path)
    if before is None:
        raise UserError(
            f"{path.name} was started by a command. Run the same command again to go on with it."
        )
    if before.active:
        return
    run = Run(path)
    write_json(path / REQUEST, config.to_dict())
    queue_again(run)
    try:
        _start_process(run)
    except (OSError, UserError):
        mark_stopped(run, before)
        raise


def _start_process(run: Run) -> None:
    environment = job_environment(run.path.parent.parent)
    module = ["app.jobs.federation_worker", str(run.path)]
    hand_over(run, start_process(module, run.path / LOG, environment, "The federation").pid)


def _changed(path: Path) -> float:
    """Returns when a federation's folder was last written, as Unix time in seconds."""
    times = [
        (path / name).stat().st_mtime for name in (STATE, DESCRIPTION) if (path / name).exists()
    ]
    return max(times, default=0.0)
