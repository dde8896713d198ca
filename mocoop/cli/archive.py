"""The commands pack, unpack and export: a finished run as one zip, or as a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mocoop.cli.console import print_json, size_text
from mocoop.cli.option_types import MaybePath, RunName
from mocoop.cli.output_paths import check_file, check_folder
from mocoop.errors import UserError
from mocoop.runs.paths import find_run


@dataclass(frozen=True)
class PackCommand:
    """Write a finished run as one zip: settings, metrics, weights and a model card.

    Example:
        mocoop pack games-mocoop-16shot-seed1-001 --out my-run.zip
    """

    run: RunName
    """Folder or name of the run."""
    out: MaybePath = None
    """The file; by default the run's name in the current folder. An older one is replaced."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class UnpackCommand:
    """Unpack and check a run that `mocoop pack` or the app's page Compare has written.

    Files of unknown names or outside the run's folder, links and damaged content are refused,
    and then nothing is kept.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The zip file."""
    name: str = ""
    """The run's name here; by default the one it was exported with."""
    root: MaybePath = None
    """Folder of runs; by default MOCOOP_RUNS or ./runs."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class ExportCommand:
    """Write a finished run as a classifier that needs no text tower.

    The folder holds text features and router as safetensors and as ONNX (image feature in,
    probabilities out), class names, and which image tower they belong to.

    Examples:
        mocoop export runs/my-run --out my-classifier
        mocoop export runs/my-run --out my-classifier --no-onnx
    """

    run: RunName
    """Folder or name of the run."""
    out: Path
    """The new folder."""
    onnx: bool = True
    """Also write head.onnx."""
    json: bool = False
    """Print one JSON document."""


def pack(command: PackCommand) -> None:
    """Writes a finished run as one zip."""
    path = find_run(command.run)
    if command.out is not None and command.out.is_dir():
        name = command.out / "run.zip"
        raise UserError(f"{command.out} is a folder. Give the zip file a name, such as {name}.")
    check_file("--out", command.out)
    from mocoop.runs.export_zip import archive_name, write_archive
    from mocoop.runs.run import Run

    run = Run(path)
    out = command.out or Path(f"{archive_name(run)}.zip")
    write_archive(run, out)
    if command.json:
        print_json({"run": str(run.path), "file": str(out), "bytes": out.stat().st_size})
    else:
        print(f"{out}: {size_text(out.stat().st_size)}")


def unpack(command: UnpackCommand) -> None:
    """Unpacks and checks a run from a zip."""
    from mocoop.runs.import_zip import read_archive

    run = read_archive(command.file, command.root, command.name)
    if command.json:
        print_json({"run": str(run.path)})
    else:
        print(f"run: {run.path}")


def export(command: ExportCommand) -> None:
    """Writes a finished run as a classifier that needs no text tower.

    Raises:
        UserError: for a run that is not there or has nothing to export, a folder that is not
            empty or lies nowhere, or if the package onnx is wanted and missing.
    """
    path = find_run(command.run)
    check_folder("--out", command.out)
    if command.onnx:
        from mocoop.classifiers.onnx import check_onnx

        check_onnx()  # before anything slow is loaded
    from mocoop.classifiers.export import export_run
    from mocoop.runs.run import Run

    files = export_run(Run(path), command.out, command.onnx)
    if command.json:
        print_json({"folder": str(command.out), "files": [file.name for file in files]})
    else:
        print(f"exported to {command.out}: {', '.join(file.name for file in files)}")
