"""Finds trainings that are missing in the lab's grid among the runs, or starts them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from app.common.access import check_may_change
from app.common.changes import delete
from app.jobs import estimates, trainings
from app.jobs.estimates import check_together
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset
from mocoop.errors import UserError
from mocoop.model.hard_prompts import expert_groups
from mocoop.runs.delete import why_kept
from mocoop.runs.run import Run, default_runs, list_runs
from mocoop.runs.status import FINISHED

Key = TypeVar("Key", bound=Hashable)
"""What a caller knows a training by."""


def find_runs(wanted: Mapping[Key, TrainConfig], dataset: Dataset) -> dict[Key, Run]:
    """Returns key → the newest run with these settings that is finished, running or queued.

    If there is none, a stopped run is returned, so that the page can show why it stopped.
    """
    alive: dict[Key, Run] = {}
    stopped: dict[Key, Run] = {}
    for run in list_runs([default_runs()]):
        try:
            requested = trainings.requested(run)
            status = run.status()
        except UserError:
            continue
        for key, config in wanted.items():
            if same_settings(requested, config, dataset):
                is_alive = status.active or status.state == FINISHED
                (alive if is_alive else stopped).setdefault(key, run)
    return stopped | alive


def same_settings(requested: TrainConfig, wanted: TrainConfig, dataset: Dataset) -> bool:
    """Returns whether a run has the wanted settings, on whatever device it was trained.

    Groups of templates that equal the data set's own count as no groups.
    """
    usual = expert_groups(wanted, dataset.templates)
    groups = requested.groups is None or requested.groups == usual
    return groups and replace(requested, groups=None, device=wanted.device) == wanted


def start(missing: Mapping[Key, TrainConfig]) -> None:
    """Starts trainings, one after the other."""
    for config in missing.values():
        trainings.start_run(config)


def remove(stopped: Iterable[Run]) -> None:
    """Deletes the lab's own trainings that have no result; those that are still active stay.

    Raises:
        UserError: if the server is read-only, or a run cannot be deleted.
    """
    check_may_change()  # also if there is nothing to delete
    for run in stopped:
        if why_kept(run) is None:
            delete(run)


def seconds(missing: Mapping[Key, TrainConfig], dataset: Dataset) -> float | None:
    """Returns the estimated seconds of all trainings together; None if one is unknown.

    Raises:
        UserError: if the settings do not fit the data set.
    """
    history = list_runs([default_runs()])
    each = [
        estimates.estimate_seconds(config, check_together(config, dataset), history)
        for config in missing.values()
    ]
    known = [value for value in each if value is not None]
    return sum(known) if len(known) == len(each) else None
