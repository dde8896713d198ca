"""Checks that a folder holds a complete, finished run, by reading its files."""

from __future__ import annotations

from pathlib import Path

from mocoop.errors import PathError, UserError
from mocoop.methods import METHODS
from mocoop.runs.run import Run, RunSetup, read_checked
from mocoop.runs.schema import ResultsFile, TransferFile
from mocoop.runs.status import FINISHED, STATUS_FILE, Status, saved_status


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
        status = saved_status(folder, Status)
        if status.state != FINISHED:
            raise UserError(f"its {STATUS_FILE} does not say that it finished.")
        setup = run.setup()
        _check_setup(setup)
        run.records()
        # A run without test images has no accuracy, but what its training took.
        if not read_checked(folder, "results.json", ResultsFile):
            raise UserError("results.json is empty.")
        for path in sorted(folder.glob("transfer-*.json")):
            read_checked(folder, path.name, TransferFile)
        run.weights()
        if not METHODS[setup.config.method].fits_image_features:
            run.features()
    except UserError as error:
        reason = str(error)
        if isinstance(error, PathError):
            subject = "the run" if error.path == folder else error.path.name
            reason = f"{subject}{error.said}"
        raise UserError(f"{called} does not hold a complete run: {reason}") from error
    return status


def _check_setup(setup: RunSetup) -> None:
    names = setup.class_names
    if len(names) < 2 or not all(name.strip() for name in names):
        raise UserError("config.json must name at least two classes, none of them empty.")
    if setup.trained_classes < 2:
        raise UserError(
            f"config.json has {setup.trained_classes} trained classes of {len(names)}: expected "
            f"2 to {len(names)}."
        )
    setup.config.check_num_chosen(len(setup.experts))
