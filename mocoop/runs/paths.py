"""The folders of runs, and how to find a run in them, without opening it and without torch."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path

from mocoop.assets import asset
from mocoop.errors import UserError
from mocoop.runs.status import STATUS_FILE, read_status
from mocoop.storage.atomic import remove_of_killed
from mocoop.user_paths import folder_setting, user_path

EXPORT_FILE = "classifier.json"
"""By this file a folder of `mocoop export` is recognised."""
PROTOCOL, LAB_GRID, SWEEPS, FEDERATED = "protocol", "lab-grid", "sweeps", "federated"
RESERVED = (PROTOCOL, LAB_GRID, SWEEPS, FEDERATED)
"""Folders in the folder of runs that hold the runs of a command; no run may be called so."""


def default_runs() -> Path:
    """Returns the default folder of runs: MOCOOP_RUNS, or ./runs."""
    return folder_setting("MOCOOP_RUNS", "runs")


def protocol_runs() -> Path:
    """Returns the folder of the protocols' runs, which Compare shows too."""
    return default_runs() / PROTOCOL


def federations() -> Path:
    """Returns the folder of the federations, which the app shows."""
    return default_runs() / FEDERATED


def check_not_reserved(path: Path) -> None:
    """Raises UserError for a run in the place of a folder that holds other runs."""
    if path.name in RESERVED and path.absolute().parent == default_runs().absolute():
        raise UserError(
            f"A run cannot be called {path.name!r}: {path} is the folder of the runs of another "
            "command. Choose another name."
        )


def shipped_runs() -> Path:
    """Returns the folder of the finished runs that come with the project."""
    return asset("runs")


def find_run(name: str | Path) -> Path:
    """Returns the folder of a run, by its path or by its name in the default or shipped runs.

    A folder without a status counts only if no run has this name.

    Raises:
        UserError: if there is none.
    """
    given = user_path(str(name))
    places = (given, default_runs() / given, shipped_runs() / given) if str(name) else ()
    folders = [path for path in places if path.is_dir()]
    for path in [path for path in folders if (path / STATUS_FILE).exists()] or folders[:1]:
        read_status(path)
        return with_name(path)
    raise UserError(
        f"No run {str(name)!r}. Expected the folder of a run or its name; `mocoop runs` lists "
        "them."
    )


def find_run_or_export(name: str) -> tuple[Path, bool]:
    """Returns the folder of a run or of an exported classifier, and whether it is an export.

    Raises:
        UserError: if there is neither.
    """
    given = user_path(name)
    is_export = (given / EXPORT_FILE).is_file()
    return (with_name(given), True) if is_export else (find_run(name), False)


def with_name(path: Path) -> Path:
    """Returns the same path with a name as its last part, unlike `.` and `..`."""
    return path.resolve() if path.name in ("", "..") else path


def data_in_name(data: str) -> str:
    """Returns what names of runs call a data set: the last part of its path, also for `.`."""
    return Path(os.path.abspath(Path(data).expanduser())).name


def short_name(path: Path) -> str:
    """Returns how to name a run in a command: its name where that is enough, else its path."""
    path = with_name(path)
    by_name = path.absolute().parent in (default_runs().absolute(), shipped_runs().absolute())
    return shlex.quote(path.name if by_name else str(path))


def remove_half_files(run: Path) -> None:
    """Removes what killed processes left in a run's folder and in the folders directly in it.

    Not every stopped run is continued: whoever chooses a folder for the next one calls this.
    """
    remove_of_killed(run)
    with suppress(OSError):
        for entry in os.scandir(run):
            if entry.is_dir(follow_symlinks=False):
                remove_of_killed(Path(entry.path))
