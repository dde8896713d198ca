"""The commands report and notebook: documents about finished runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mocoop.cli.console import print_json, size_text
from mocoop.cli.option_types import MaybePath, RunName
from mocoop.cli.output_paths import check_file
from mocoop.errors import UserError
from mocoop.runs.paths import find_run

if TYPE_CHECKING:
    from mocoop.runs.run import Run


@dataclass(frozen=True)
class ReportCommand:
    """Write a page about one run, or a comparison of several: one HTML file that needs no other.

    It holds settings, accuracies with intervals, figures, versions, and how to cite. Runs of one
    data set are also compared image by image, with each other and with zero-shot, if the data
    are here.

    Examples:
        mocoop report RUN --out report.html
        mocoop report RUN OTHER-RUN --out comparison.html
    """

    runs: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="RUN ...", help_behavior_hint=""),
    ]
    """Folders or names of finished runs."""
    out: MaybePath = None
    """The file; by default the first run's name in the current folder. An existing file is
    replaced."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class NotebookCommand:
    """Write a Jupyter notebook that opens a run, tests it, and shows its routing.

    Put the run beside it, as a folder or as the zip of `mocoop pack`, or leave the run where it
    is on this machine. If the data are gone, the notebook says so and shows what the run's files
    hold.

    Example:
        mocoop notebook RUN --out run.ipynb
    """

    run: RunName
    """Folder or name of the run."""
    out: MaybePath = None
    """The file; by default the run's name in the current folder. An existing file is replaced."""
    json: bool = False
    """Print one JSON document."""


def report(command: ReportCommand) -> None:
    """Writes a report.

    Raises:
        UserError: if a run is missing, damaged or not finished, or the file cannot be written.
    """
    check_file("--out", command.out)
    if not command.runs:
        raise UserError("Expected the name of one run or more.")
    paths = list(dict.fromkeys(find_run(name) for name in command.runs))
    from mocoop.report.compared import same_images
    from mocoop.report.facts import facts
    from mocoop.report.reports import comparison_report, run_report
    from mocoop.runs.export_zip import archive_name
    from mocoop.runs.run import Run

    runs = _by_name([Run(path) for path in paths])
    known = {name: facts(run, name) for name, run in runs.items()}
    if len(runs) == 1:
        text = run_report(next(iter(known.values())))
    else:
        text = comparison_report(known, *same_images(runs))
    name = archive_name(next(iter(runs.values())))
    _write(text, command.out or Path(f"{name}-report.html"), command.json)


def notebook(command: NotebookCommand) -> None:
    """Writes the notebook of a run.

    Raises:
        UserError: if the run is missing, damaged or not finished, or the file cannot be written.
    """
    path = find_run(command.run)
    check_file("--out", command.out)
    from mocoop.report.notebook import notebook_of
    from mocoop.runs.export_zip import archive_name
    from mocoop.runs.run import Run

    run = Run(path)
    _write(notebook_of(run), command.out or Path(f"{archive_name(run)}.ipynb"), command.json)


def _by_name(runs: list[Run]) -> dict[str, Run]:
    """Returns name → run; runs with the same name in several folders are named by their paths."""
    names = [run.name for run in runs]
    return {run.name if names.count(run.name) == 1 else str(run.path): run for run in runs}


def _write(text: str, file: Path, json: bool) -> None:
    from mocoop.storage.atomic import write_text

    write_text(file, text)
    size = file.stat().st_size
    if json:
        print_json({"file": str(file), "bytes": size})
    else:
        print(f"{file}: {size_text(size)}")
