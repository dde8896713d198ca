"""Checks that a folder holds a complete, finished run, by reading its files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mocoop.config import GIVEN
from mocoop.errors import PathError, UserError
from mocoop.runs.run import Run, RunSetup
from mocoop.runs.status import FINISHED, STATUS_FILE, Status, saved_status

FEATURES = "features.safetensors"


def check_run(folder: Path, called: str) -> Status:
    """Returns a run's status after checking all of its files; the CLIP is not needed.

    Args:
        folder: the run's folder.
        called: the run's name in error messages.

    Raises:
        UserError: for a file that is missing, is damaged or does not fit the others.
    """
    run = Run(folder)
    try:
        status = _status(run)
        setup = run.setup()
        _check_setup(setup)
        _check_records(run)
        _check_results(run.results(), tested=setup.config.data != GIVEN)
        if not run.weights():
            raise UserError("weights.safetensors is empty.")
        if (folder / FEATURES).exists():
            _check_features(run, setup)
    # The files come from outside: a value of an unexpected type can raise any of these errors.
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        reason = str(error)
        if isinstance(error, PathError):
            subject = "the run" if error.path == folder else error.path.name
            reason = f"{subject}{error.said}"
        raise UserError(f"{called} does not hold a complete run: {reason}") from error
    return status


def _status(run: Run) -> Status:
    status = saved_status(run.path, Status)
    numbers = (status.epoch, status.epochs, status.started, status.updated)
    if status.state != FINISHED or not all(_is_number(value) for value in numbers):
        raise UserError(f"its {STATUS_FILE} does not say that it finished.")
    return status


def _check_setup(setup: RunSetup) -> None:
    names = setup.class_names
    if len(names) < 2 or not all(isinstance(name, str) and name.strip() for name in names):
        raise UserError("config.json must name at least two classes, none of them empty.")
    if not 2 <= setup.trained_classes <= len(names):
        raise UserError(
            f"config.json has {setup.trained_classes} trained classes of {len(names)}: expected "
            f"2 to {len(names)}."
        )
    if not math.isfinite(setup.logit_scale):
        raise UserError("config.json has a logit scale that is not a finite number.")


def _check_records(run: Run) -> None:
    for record in run.records():
        if not isinstance(record["losses"], dict) or not _is_number(record["epoch"]):
            raise UserError("metrics.jsonl has a line that is not the record of an epoch.")


def _check_results(results: dict[str, Any], tested: bool) -> None:
    parts = [part for part in ("all", "base", "new") if part in results]
    if tested and not parts:
        raise UserError("results.json has no accuracy.")
    for part in parts:
        result = results[part]
        # Old runs have no calibration error.
        numbers = (result["accuracy"], result["num_images"], result.get("calibration_error", 0.0))
        if not all(_is_number(value) for value in numbers):
            raise UserError(f"results.json has an incomplete result for the {part} classes.")


def _check_features(run: Run, setup: RunSetup) -> None:
    features = run.features()
    experts, classes = len(setup.experts), len(setup.class_names)
    shape = tuple(features.prototypes.shape)
    if len(shape) != 3 or shape[:2] != (experts, classes):
        raise UserError(f"{FEATURES} does not have {experts} experts and {classes} classes.")
    for soft in features.soft.values():
        if soft.ndim != 3 or soft.shape[1:] != shape[1:] or not soft.isfinite().all():
            raise UserError(f"{FEATURES} has soft features that do not fit the prototypes.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
