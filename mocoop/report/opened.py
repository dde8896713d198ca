"""Opens a run where a notebook finds it: beside the notebook, or among this machine's runs."""

from __future__ import annotations

from pathlib import Path

from mocoop.errors import UserError
from mocoop.runs.export_zip import archive_name
from mocoop.runs.import_zip import read_archive
from mocoop.runs.run import Run, open_run

UNPACKED = "unpacked-runs"  # folder beside a notebook, for the runs that it unpacks


def open_here(name: str, folder: Path | None = None) -> Run:
    """Returns a run from `NAME`, or its zip, in a folder, else from this machine's runs.

    A zip is checked and unpacked into the folder's `unpacked-runs` the first time.

    Args:
        name: the run's name.
        folder: where to look first; the current folder by default.

    Raises:
        UserError: if there is no such run, or the zip is refused.
    """
    here = folder or Path.cwd()
    packed = archive_name(Run(Path(name)))  # some characters are different there
    file, root = here / f"{packed}.zip", here / UNPACKED
    for path in (here / name, root / packed):
        if (path / "status.json").is_file():
            return Run(path)
    if file.is_file():
        root.mkdir(exist_ok=True)
        return read_archive(file, root, packed)
    try:
        return open_run(name)
    except UserError as error:
        raise UserError(
            f"{error} Put the run's zip ({file.name}, from the page Compare or `mocoop pack`) "
            "into this notebook's folder."
        ) from error
