"""The table of runs, one row per run, and its filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from app.common.methods import has_epochs, method_name
from app.compare import words
from app.jobs.trainings import requested
from mocoop.config import TrainConfig
from mocoop.datasets import dataset_name
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.presets import differences, names_all_classes
from mocoop.report.facts import Facts
from mocoop.runs.chosen_on_test import chosen_on_test
from mocoop.runs.run import Run
from mocoop.runs.status import FINISHED, STATUS_FILE, state_without_status

PERCENTS = ("all", "base", "new", "HM", "error")
MORE = ("settings", "trained on", "error", "epochs", "changed")  # can be left out
COLUMNS = (
    "run", "all", "base", "new", "HM", "state", "data", "method", "shots", "seed", "trained on",
    "error", "epochs", "settings", "changed",
)  # fmt: skip


@dataclass(frozen=True)
class RunFilter:
    """Which runs are listed; an empty field does not restrict them."""

    data: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    """Labels of the methods."""
    shots: tuple[int, ...] = ()
    trained_on: tuple[str, ...] = ()
    states: tuple[str, ...] = ()


def run_row(run: Run, name: str) -> dict[str, Any]:
    """Returns a run's row; a damaged run has only its name, its state and the reason.

    Args:
        run: any run.
        name: the run's name on the page.

    Raises:
        UserError: if the run does not exist any more.
    """
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {
        "run": name,
        "changed": datetime.fromtimestamp(last_change(run)),
        "settings": "",
    }
    try:
        status = run.status()
    except UserError as error:
        return row | {"state": state_without_status(error), "settings": str(error)}
    row |= {"state": status.state, "epochs": status.epochs}
    try:
        config = requested(run)
        row |= {
            "data": dataset_name(config.data),
            "method": method_name(config),
            "trained on": _trained_on(config),
            "shots": config.shots,
            "seed": config.seed,
            "settings": ", ".join(f"{key} {value}" for key, value in differences(config).items()),
        }
        if status.state == FINISHED:
            run.setup()  # raises if the run is damaged
            results = run.results()
            row |= _accuracies(results)
            chosen = chosen_on_test(config, results)
            if chosen:
                marked = words.chosen_on_test(chosen)
                row["settings"] = ", ".join(filter(None, (marked, row["settings"])))
        elif not status.active and status.message:
            row["settings"] = f"{status.message} {row['settings']}".strip()
    except UserError as error:
        # The settings of a run that has not started may not be written yet.
        row["settings"] = "" if status.active else str(error)
    return row


def _trained_on(config: TrainConfig) -> str:
    """Returns what a run was trained on, in words."""
    if config.style:
        return f"{config.style} only"
    return words.TRAINED_CLASSES[config.classes] + (
        ", all names" if names_all_classes(config) else ""
    )


def last_change(run: Run) -> float:
    """Returns when a run was trained, continued or imported here, in Unix seconds.

    Raises:
        UserError: if the run does not exist any more.
    """
    if run.shipped:  # its files only have the date of the installation
        return run.status().updated
    try:
        return (run.path / STATUS_FILE).stat().st_mtime
    except OSError as error:
        raise UserError(f"Run {run.name} was deleted: its folder cannot be read.") from error


def why_no_curve(run: Run) -> str | None:
    """Returns why a run has no training curve, in words; None if it has one.

    Raises:
        UserError: if its settings or records cannot be read.
    """
    config, epochs = run.setup().config, len(run.records())
    if epochs > 1:
        return None
    if config.epochs == 0 and METHODS[config.method].reports_epochs:
        return words.ZERO_EPOCHS
    if not has_epochs(config):
        return words.not_by_epoch(method_name(config))
    return words.no_epoch(run.status().state)


def run_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Returns the rows as a table; columns of integers stay integers if values are missing."""
    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    whole = ["shots", "seed", "epochs"]
    table[whole] = table[whole].astype("Int64")
    table[list(PERCENTS)] = table[list(PERCENTS)].astype("Float64")
    return table


def accuracy_rows(known: Mapping[str, Facts], zero_shot: str) -> pd.DataFrame:
    """Returns a row per run and part of the classes, then zero-shot once per set of test images.

    Args:
        known: name of a run → its facts.
        zero_shot: what zero-shot is called.
    """
    columns = ["run", "data", "classes", "images", "accuracy", "low", "high", "gain"]
    rows: list[tuple[Any, ...]] = []
    untrained: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for name, one in known.items():
        for found in one.accuracies:
            ends = found.interval.low, found.interval.high
            place = (one.data, found.part, found.images)
            rows.append((name, *place, found.value, *ends, found.gain))
            other = found.zero_shot_interval
            if found.zero_shot is not None and other is not None:
                same = (one.setup.config.data, *place, round(found.zero_shot, 6))
                numbers = found.zero_shot, other.low, other.high
                untrained[same] = (zero_shot, *place, *numbers, None)
    table = pd.DataFrame([*rows, *untrained.values()], columns=columns)
    return table.astype({"gain": "Float64"})


def shown_columns(table: pd.DataFrame, more: Sequence[str]) -> list[str]:
    """Returns the columns of the table of runs that are shown, in order.

    Accuracies that no run has are left out: they would push the last columns out of sight.

    Args:
        table: the runs.
        more: those of `MORE` that the user wants.
    """
    return [
        name
        for name in COLUMNS
        if (name in more if name in MORE else name not in PERCENTS or table[name].notna().any())
    ]


def select_runs(table: pd.DataFrame, wanted: RunFilter) -> pd.DataFrame:
    """Returns the rows that pass a filter, in the same order and with a new index."""
    keep = pd.Series(True, index=table.index)
    for column, values in (
        ("data", wanted.data),
        ("method", wanted.methods),
        ("shots", wanted.shots),
        ("trained on", wanted.trained_on),
        ("state", wanted.states),
    ):
        if values:
            keep &= table[column].isin(values)
    return table[keep].reset_index(drop=True)


def choices(table: pd.DataFrame, column: str) -> list[Any]:
    """Returns the different values of a column, sorted, without missing ones."""
    return sorted(table[column].dropna().unique().tolist())


def _accuracies(results: dict[str, Any]) -> dict[str, float | None]:
    """Returns accuracies, harmonic mean, and calibration error on the trained classes."""
    shown: dict[str, float | None] = {
        part: float(results[part]["accuracy"])
        for part in ("all", "base", "new")
        if part in results
    }
    trained = results.get("all") or results.get("base", {})
    shown["HM"] = results.get("harmonic_mean")
    shown["error"] = trained.get("calibration_error")
    return shown
