"""What the choices of a run call the runs: settings first, and more where several look alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from app.common.words import run_title
from mocoop.config import TrainConfig


@dataclass(frozen=True)
class Named:
    """A run as a choice shows it."""

    name: str
    """Of its folder."""
    config: TrainConfig | None
    """None where the settings cannot be read."""
    started: float
    """Unix time in seconds."""


def run_labels(runs: Sequence[Named]) -> dict[str, str]:
    """Returns folder's name → what a choice shows, all different.

    The settings alone where they tell a run from all others. Where they do not, the folder's
    name and the time of its start are added; a name that somebody gave is never left out.
    """
    titles = {run.name: _title(run) for run in runs}
    often = Counter(titles.values())
    labels: dict[str, str] = {}
    for run in runs:
        title = titles[run.name]
        parts = [title]
        if often[title] > 1:
            parts.append(f"{datetime.fromtimestamp(run.started):%Y-%m-%d %H:%M}")
        if (often[title] > 1 or _given(run)) and title != run.name:
            parts.append(run.name)
        labels[run.name] = " · ".join(parts)
    return labels


def _title(run: Named) -> str:
    return run.name if run.config is None else run_title(run.config)


def _given(run: Named) -> bool:
    """Returns whether a run's name is not the one that a training gets by itself."""
    if run.config is None:
        return True
    return not run.name.startswith(f"{Path(run.config.data).name}-{run.config.method}-")
