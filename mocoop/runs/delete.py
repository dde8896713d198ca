"""Deletes runs, but never shipped runs or runs that are queued or running."""

from __future__ import annotations

import shutil

from mocoop.errors import UserError
from mocoop.runs.run import Run
from mocoop.runs.status import STATUS_FILE
from mocoop.storage.cache_folder import kept_for
from mocoop.storage.formats import NewerError
from mocoop.storage.temporary_folder import folder_in

_GONE = "it is not a run folder (any more)"


def why_kept(run: Run) -> str | None:
    """Returns the reason why a run must not be deleted; None if it may be deleted."""
    if run.shipped:
        return "it comes with MoCoOp"
    if not run.path.is_dir() or run.path.is_symlink() or not (run.path / STATUS_FILE).is_file():
        return _GONE
    try:
        active = run.status().active
    except NewerError:  # it may be queued or running
        return "a newer version of MoCoOp wrote it, which can tell whether it may be deleted"
    except UserError:  # nobody can use a damaged run
        active = False
    return "it is queued or running: cancel it on the page Train first" if active else None


def delete_run(run: Run) -> None:
    """Deletes a run's folder, and from the cache what only this run can use.

    The run disappears from every list in one step.

    Raises:
        UserError: for a run that must not or cannot be deleted.
    """
    kept = why_kept(run)
    if kept is not None:
        raise UserError(f"Run {run.name!r} was not deleted: {kept}.")
    of_use_to_none = kept_for(run.path)
    try:
        # Lists of runs do not look into this folder, so that they never show half a run.
        with folder_in(run.path.parent / ".deleting") as folder:
            run.path.rename(folder / "run")
            shutil.rmtree(folder)
        shutil.rmtree(of_use_to_none, ignore_errors=True)
    except FileNotFoundError as error:  # another process was faster
        raise UserError(f"Run {run.name!r} was not deleted: {_GONE}.") from error
    except OSError as error:
        raise UserError(
            f"Run {run.name!r} could not be deleted ({error.strerror or error})."
        ) from error
