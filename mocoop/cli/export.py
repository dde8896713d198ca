"""What the command export does."""

from __future__ import annotations

from mocoop.classifiers.onnx import check_onnx
from mocoop.cli.console import print_json
from mocoop.cli.options import ExportCommand
from mocoop.cli.output_paths import check_folder
from mocoop.runs.paths import find_run


def export(command: ExportCommand) -> None:
    """Writes a finished run as a classifier that needs no text tower.

    Raises:
        UserError: for a run that is not there or has nothing to export, a folder that is not
            empty or lies nowhere, or if the package onnx is wanted and missing.
    """
    path = find_run(command.run)
    check_folder("--out", command.out)
    if command.onnx:
        check_onnx()  # before anything slow is loaded
    from mocoop.classifiers.export import export_run
    from mocoop.runs.run import Run

    files = export_run(Run(path), command.out, command.onnx)
    if command.json:
        print_json({"folder": str(command.out), "files": [file.name for file in files]})
    else:
        print(f"exported to {command.out}: {', '.join(file.name for file in files)}")
