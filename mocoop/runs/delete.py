"""Runs that are deleted: never shipped ones, never those that are still at work."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from mocoop.errors import UserError
from mocoop.runs.run import Run
from mocoop.runs.status import STATUS_FILE


def why_kept(run: Run) -> str | None:
    """Returns why a run must not be deleted, in words; None if it may be."""
    if run.shipped:
        return "it comes with MoCoOp"
    if not run.path.is_dir() or run.path.is_symlink() or not (run.path / STATUS_FILE).is_file():
        return "it is no folder of a run (any more)"
    if run.status().active:
        return "it is still at work: cancel it on the page Train first"
    return None


def delete_run(run: Run) -> None:
    """Deletes a run's folder; it is gone from every list at once or not at all.

    Raises:
        UserError: for a run that must not be deleted, or cannot be.
    """
    kept = why_kept(run)
    if kept is not None:
        raise UserError(f"Run {run.name!r} was not deleted: {kept}.")
    waiting = run.path.parent / ".deleting"
    try:
        waiting.mkdir(exist_ok=True)
        # No list of runs looks into this folder, so that nobody meets half a run.
        place = Path(tempfile.mkdtemp(dir=waiting)) / "run"
        run.path.rename(place)
        shutil.rmtree(place.parent)
    except OSError as error:
        raise UserError(
            f"Run {run.name!r} could not be deleted ({error.strerror or error})."
        ) from error
    finally:
        with suppress(OSError):  # another deletion is at work
            waiting.rmdir()
