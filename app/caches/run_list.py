"""The list of runs with their settings, without what takes long to import, such as torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import streamlit as st

from app.common.run_labels import LabelledRun, run_labels
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.runs.run import Run, RunSetup, damaged_runs, default_runs, list_runs
from mocoop.runs.status import FINISHED
from mocoop.storage.formats import NewerError


def finished_runs() -> list[Run]:
    """Returns the finished runs, newest first; they are read from disk at every call.

    Links name a run by its name: of two with the same one, only the newer one counts, or the
    user's own instead of the shipped one that it is a copy of.
    """
    finished: dict[str, Run] = {}
    for run in list_runs():
        with suppress(UserError):  # the run was deleted after it was listed
            if run.status().state == FINISHED:
                finished.setdefault(run.name, run)
    return list(finished.values())


def is_listed(run: Run) -> bool:
    """Returns whether all pages list a run; runs of protocols and sweeps are on Compare alone."""
    return run.shipped or run.path.parent == default_runs()


def newer_runs() -> set[str]:
    """Returns the names of the runs that a newer version of MoCoOp wrote."""
    unread = damaged_runs().items()
    return {run.name for run, error in unread if isinstance(error, NewerError)}


def labels_of(runs: Mapping[str, Run]) -> dict[str, str]:
    """Returns the name of each run → its label in menus; the name itself if it is damaged."""
    known = []
    for run in runs.values():
        with suppress(UserError):  # the run was deleted after it was listed
            known.append(_labelled(str(run.path), stamp_of(run)))
    return {name: name for name in runs} | run_labels(known)


def finished_configs() -> dict[str, TrainConfig]:
    """Returns the name → settings of the finished runs that can be read, newest first."""
    found = {}
    for run in finished_runs():
        with suppress(UserError):  # the run was deleted after it was listed
            if (config := _labelled(str(run.path), stamp_of(run)).config) is not None:
                found[run.name] = config
    return found


@st.cache_data(show_spinner=False, max_entries=5000)
def _labelled(path: str, stamp: float) -> LabelledRun:
    run, config = Run(Path(path)), None
    with suppress(UserError):
        config = setup_of(run).config
    return LabelledRun(run.name, config, run.status().started)


def stamp_of(run: Run) -> float:
    """Returns the modification time of a run's status, which changes if the run is made again.

    Raises:
        UserError: if the run does not exist any more.
    """
    try:
        return (run.path / "status.json").stat().st_mtime
    except OSError as error:
        raise UserError(f"Run {run.name} was deleted: its folder cannot be read.") from error


def setup_of(run: Run) -> RunSetup:
    """Returns what a run was made of; its file is parsed once, and again when it changes.

    Raises:
        UserError: for a run whose settings are missing or damaged.
    """
    try:
        changed = (run.path / "config.json").stat().st_mtime_ns
    except OSError:
        return run.setup()  # which says what is missing
    return _setup(str(run.path), changed)


@st.cache_resource(show_spinner=False, max_entries=200)
def _setup(path: str, changed: int) -> RunSetup:
    return Run(Path(path)).setup()
