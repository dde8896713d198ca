"""A sweep's trainings: up to an epoch and paused there, or to the end with a test."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.runs.run import Run
from mocoop.runs.status import FINISHED, STATUS_FILE
from mocoop.training.snapshots import saved_epoch

if TYPE_CHECKING:
    from mocoop.training.loop import EpochRecord

WAIT_SECONDS = 0.2  # between two looks at a run that another process still trains
PAUSED = "paused by its sweep after epoch {}"


@dataclass(frozen=True)
class Reached:
    """What a run has reached."""

    accuracy: float | None = None
    """On its validation images, in percent; None if there is none."""
    seconds: float = 0.0
    """Time that this call took."""
    diverged: str = ""
    """Why its training has no finite losses; empty if it has."""
    error: str = ""
    """Why it could not be trained; empty if it could."""


def reach(config: TrainConfig, path: Path, until: int) -> Reached:
    """Trains a run up to an epoch and pauses it there; what it has learned before is kept.

    The test images are not used. A run that is there already is not trained again: it goes on
    from its snapshot, with the same result as without a stop.

    Args:
        config: the run's settings.
        path: its folder, of the sweep alone.
        until: the epoch after which it is paused; at most its number of epochs.
    """
    from mocoop.training.experiment import Cancelled
    from mocoop.training.optimizer import DivergedError

    started = time.monotonic()
    until = min(until, config.epochs)
    _wait_until_free(path)
    try:
        if _reached(path) < until:
            training = _training(config, path, until)
            for record in training:
                if record.epoch == until:
                    try:
                        training.throw(Cancelled(PAUSED.format(until)))
                    except Cancelled:
                        break
    except DivergedError as error:
        return Reached(seconds=time.monotonic() - started, diverged=str(error))
    except UserError as error:
        return Reached(seconds=time.monotonic() - started, error=str(error))
    (accuracy,) = (r["val_accuracy"] for r in Run(path).records() if r["epoch"] == until)
    if accuracy is None:
        return Reached(error=f"{config.data} has no validation images for these settings")
    return Reached(accuracy, time.monotonic() - started)


def finish(config: TrainConfig, path: Path) -> Path:
    """Trains a run to its end and tests it, unless it is finished; returns its folder."""
    _wait_until_free(path)
    if not _is_run(path) or Run(path).status().state != FINISHED:
        for _ in _training(config, path, config.epochs):
            pass
    return path


def _training(config: TrainConfig, path: Path, until: int) -> Generator[EpochRecord, None, None]:
    """Returns the training of a run: it is continued if it can be, or else begun anew."""
    from mocoop.training.experiment import resume_experiment, run_experiment

    if saved_epoch(path) is not None:
        return resume_experiment(path, until=until)
    shutil.rmtree(path, ignore_errors=True)  # stopped before its first snapshot
    return run_experiment(config, path, until=until)


def _reached(path: Path) -> int:
    """Returns the epoch up to which a run is trained, with nothing to be repeated."""
    if not _is_run(path):
        return 0
    if Run(path).status().state == FINISHED:
        return Run(path).status().epochs
    return saved_epoch(path) or 0


def _wait_until_free(path: Path) -> None:
    """Returns when no process trains the run: one of a sweep that was killed may still do."""
    while _is_run(path) and Run(path).status().active:
        time.sleep(WAIT_SECONDS)


def _is_run(path: Path) -> bool:
    return (path / STATUS_FILE).exists()
