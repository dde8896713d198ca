"""What the command export does."""

from __future__ import annotations

from mocoop.options import ExportCommand
from mocoop.report import print_json


def export(command: ExportCommand) -> None:
    """Writes a finished run as a classifier that needs no text tower."""
    from mocoop.export import export_run
    from mocoop.runs import open_run

    files = export_run(open_run(command.run), command.out, command.onnx)
    if command.json:
        print_json({"folder": str(command.out), "files": [file.name for file in files]})
    else:
        print(f"exported to {command.out}: {', '.join(file.name for file in files)}")
