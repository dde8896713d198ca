"""Labels of runs in menus: their settings, and more where these are not enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from app.common.run_differences import differing_settings
from app.common.words import run_title
from mocoop.config import TrainConfig


@dataclass(frozen=True)
class LabelledRun:
    """What a menu needs to know of a run."""

    name: str
    """Name of the run's folder."""
    config: TrainConfig | None
    """None if the settings cannot be read."""
    started: float
    """Start time in Unix seconds."""


def run_labels(runs: Sequence[LabelledRun]) -> dict[str, str]:
    """Returns the name of each run's folder → its label in the menu; all labels differ.

    The label is the run's settings if no other run has the same. Otherwise the other settings in
    which these runs differ follow, and if there are none, the start time and the folder's name.
    A folder's name that a user gave is always part of the label.
    """
    titles = _with_differences(runs, {run.name: _title(run) for run in runs})
    counts = Counter(titles.values())
    labels: dict[str, str] = {}
    for run in runs:
        title = titles[run.name]
        parts = [title]
        if counts[title] > 1:
            parts.append(f"{datetime.fromtimestamp(run.started):%Y-%m-%d %H:%M}")
        if (counts[title] > 1 or _named_by_user(run)) and title != run.name:
            parts.append(run.name)
        labels[run.name] = " · ".join(parts)
    return labels


def _with_differences(runs: Sequence[LabelledRun], titles: Mapping[str, str]) -> dict[str, str]:
    """Returns the titles; runs with the same one also have the settings in which they differ."""
    alike: dict[str, dict[str, TrainConfig]] = {}
    for run in runs:
        if run.config is not None:
            alike.setdefault(titles[run.name], {})[run.name] = run.config
    longer = dict(titles)
    for title, configs in alike.items():
        values = differing_settings(configs).values()
        for name in configs:
            own = [value[name] for value in values if name in value]
            longer[name] = " · ".join((title, *own))
    return longer


def _title(run: LabelledRun) -> str:
    return run.name if run.config is None else run_title(run.config)


def _named_by_user(run: LabelledRun) -> bool:
    """Returns whether a user chose the run's name; by default it begins with data and method."""
    if run.config is None:
        return True
    return not run.name.startswith(f"{Path(run.config.data).name}-{run.config.method}-")
