"""Everything that a visitor can change on disk, beside trainings, downloads and imported prompts.

Each function refuses on a read-only server by itself. That a page shows no button for it is not
enough: a message to the server can be made by hand, and a page may have been loaded earlier.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, BinaryIO

from app.common.access import check_may_change
from mocoop.catalog.uploads import keep_upload
from mocoop.datasets.edits import Edits, write_edits
from mocoop.datasets.folder import FolderDataset
from mocoop.datasets.skip_list import add_skipped
from mocoop.runs.delete import delete_run
from mocoop.runs.import_zip import read_archive
from mocoop.runs.run import Run


def store_upload(given: IO[bytes], name: str, encoding: str = "") -> FolderDataset:
    """Stores an uploaded archive of images as `keep_upload` does, and returns its data set.

    Raises:
        UserError: as `keep_upload`; or if the server is read-only.
    """
    check_may_change()
    return keep_upload(given, name, encoding=encoding)


def save_edits(folder: Path, edits: Edits) -> None:
    """Writes names of classes and groups of templates beside a data set.

    Raises:
        UserError: as `write_edits`; or if the server is read-only.
    """
    check_may_change()
    write_edits(folder, edits)


def leave_out(folder: Path, broken: Mapping[str, str]) -> None:
    """Leaves images of a data set out from now on.

    Args:
        folder: where the changes of the data set are.
        broken: each image and why it is left out.

    Raises:
        UserError: as `add_skipped`; or if the server is read-only.
    """
    check_may_change()
    add_skipped(folder, broken)


def import_run(file: BinaryIO, name: str, asked_by: str) -> Run:
    """Returns the run in an uploaded zip, as `read_archive` does.

    Raises:
        UserError: as `read_archive`; or if the server is read-only.
    """
    check_may_change()
    return read_archive(file, None, name, asked_by=asked_by)


def delete(run: Run) -> None:
    """Deletes a run.

    Raises:
        UserError: as `delete_run`; or if the server is read-only.
    """
    check_may_change()
    delete_run(run)
