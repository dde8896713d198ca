"""The commands pack, unpack and export: a finished run as a zip file or as a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mocoop.cli.console import print_json, size_text
from mocoop.cli.option_types import MaybePath, RunName
from mocoop.cli.output_paths import check_file, check_folder
from mocoop.errors import UserError
from mocoop.runs.paths import find_run


@dataclass(frozen=True)
class PackCommand:
    """Write a finished run to a zip file: settings, metrics, weights and a model card.

    Example:
        mocoop pack details-mocoop-16shot-seed1-001 --out my-run.zip
    """

    run: RunName
    """Folder or name of the run."""
    out: MaybePath = None
    """The zip file; by default the run's name in the current folder. An existing file is
    replaced."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class UnpackCommand:
    """Unpack and check a run that was written by `mocoop pack` or by the app's page Compare.

    The zip is refused, and nothing is kept, if it holds unknown file names, paths outside the
    run's folder, links or damaged content.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The zip file."""
    name: str = ""
    """New name of the run; by default the name in the zip file."""
    root: MaybePath = None
    """Folder of runs; by default MOCOOP_RUNS or ./runs."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class ExportCommand:
    """Write a finished run as a classifier that needs no text tower, or as CoOp's checkpoint.

    The folder holds the text features and the router, as safetensors and as ONNX (image
    features in, probabilities out), the class names, and the name of the image tower.

    Examples:
        mocoop export runs/my-run --out my-classifier
        mocoop export runs/my-run --out my-classifier --tower
        mocoop export runs/my-run --out my-classifier --no-onnx
        mocoop export runs/my-run --out coop-output --layout coop
    """

    run: RunName
    """Folder or name of the run."""
    out: Path
    """The new folder."""
    onnx: bool = True
    """Also write the ONNX file head.onnx."""
    tower: bool = False
    """Also write classifier.onnx, from picture to label with the image tower inside, and label.py,
    which runs it without torch. It needs: pip install "mocoop[onnx]"."""
    layout: Literal["classifier", "coop"] = "classifier"
    """`classifier`, or `coop`: the prompt as CoOp's own code loads it, for runs with one prompt
    (prompt_learner/model.pth.tar-EPOCH)."""
    json: bool = False
    """Print one JSON document."""


def pack(command: PackCommand) -> None:
    """Writes a finished run to a zip file.

    Raises:
        UserError: if the run is missing, or the file cannot be written.
    """
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
        UserError: if the run is missing or cannot be exported, the folder is not empty or its
            parent is missing, or the package onnx is needed and not installed.
    """
    path = find_run(command.run)
    check_folder("--out", command.out)
    if command.layout != "classifier":
        for option, given in (("--tower", command.tower), ("--no-onnx", not command.onnx)):
            if given:
                raise UserError(f"{option} goes with --layout classifier: leave it out.")
        _export_prompts(path, command)
        return
    if command.onnx:
        from mocoop.classifiers.onnx import check_onnx

        check_onnx()  # before anything slow is loaded
    from mocoop.classifiers.export import export_run
    from mocoop.runs.run import Run

    files = export_run(Run(path), command.out, command.onnx, command.tower)
    if command.json:
        print_json({"folder": str(command.out), "files": [file.name for file in files]})
    else:
        print(f"exported to {command.out}: {', '.join(file.name for file in files)}")


def _export_prompts(path: Path, command: ExportCommand) -> None:
    """Writes a run's prompt in CoOp's layout."""
    from mocoop.clip.backbone import load_backbone
    from mocoop.exchange.export_prompts import export_prompts
    from mocoop.runs.run import Run

    run = Run(path)
    run.require_finished()
    files = export_prompts(run, command.out, load_backbone(run.setup().config.backbone, "cpu"))
    if command.json:
        print_json({"folder": str(command.out), "files": [file.name for file in files]})
    else:
        print(f"exported to {files[0]}; CoOp's code loads it with --model-dir {command.out}")
