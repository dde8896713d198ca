"""What the commands pack and unpack do."""

from __future__ import annotations

from pathlib import Path

from mocoop.cli.console import print_json, size_text
from mocoop.cli.options import PackCommand, UnpackCommand
from mocoop.cli.output_paths import check_file
from mocoop.errors import UserError
from mocoop.runs.paths import find_run


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
