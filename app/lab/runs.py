"""Trainings that the lab's grid lacks: found among the runs, or started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from app.jobs import estimates, trainings
from app.jobs.estimates import check_together
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset
from mocoop.errors import UserError
from mocoop.model.hard_prompts import expert_groups
from mocoop.runs.run import Run, default_runs, list_runs
from mocoop.runs.status import FINISHED


def find_runs(wanted: Mapping[str, TrainConfig], dataset: Dataset) -> dict[str, Run]:
    """Returns method → the newest run of these settings that is finished or at work.

    Where there is neither, one that stopped is returned, so that the reason can be told.
    """
    found: dict[str, Run] = {}
    stopped: dict[str, Run] = {}
    for run in list_runs([default_runs()]):
        try:
            made_of = trainings.requested(run)
            status = run.status()
        except UserError:
            continue
        for method, config in wanted.items():
            if same_settings(made_of, config, dataset):
                alive = status.active or status.state == FINISHED
                (found if alive else stopped).setdefault(method, run)
    return stopped | found


def same_settings(made_of: TrainConfig, wanted: TrainConfig, dataset: Dataset) -> bool:
    """Returns whether a run's settings are those wanted, wherever it was computed.

    Groups of templates may be named or left to the data set, which is the same.
    """
    usual = expert_groups(wanted, dataset.templates)
    groups = made_of.groups is None or made_of.groups == usual
    return groups and replace(made_of, groups=None, device=wanted.device) == wanted


def start(missing: Mapping[str, TrainConfig]) -> None:
    """Starts trainings, one after the other."""
    for config in missing.values():
        trainings.start_run(config)


def seconds(missing: Mapping[str, TrainConfig], dataset: Dataset) -> float | None:
    """Returns about how long trainings take together; None where that is not known.

    Raises:
        UserError: for settings that do not fit the data set.
    """
    history = list_runs([default_runs()])
    each = [
        estimates.estimate_seconds(config, check_together(config, dataset), history)
        for config in missing.values()
    ]
    known = [value for value in each if value is not None]
    return sum(known) if len(known) == len(each) else None
