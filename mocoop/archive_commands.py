"""What the commands pack and unpack do."""

from __future__ import annotations

from pathlib import Path

from mocoop.errors import UserError
from mocoop.options import PackCommand, UnpackCommand
from mocoop.report import print_json


def pack(command: PackCommand) -> None:
    """Writes a finished run as one zip."""
    from mocoop.run_archive import archive_name, write_archive
    from mocoop.runs import open_run

    run = open_run(command.run)
    out = command.out or Path(f"{archive_name(run)}.zip")
    if out.is_dir():
        raise UserError(f"{out} is a folder. Give the zip file a name, such as {out / 'run.zip'}.")
    write_archive(run, out)
    if command.json:
        print_json({"run": str(run.path), "file": str(out), "bytes": out.stat().st_size})
    else:
        print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


def unpack(command: UnpackCommand) -> None:
    """Unpacks and checks a run from a zip."""
    from mocoop.run_import import read_archive

    run = read_archive(command.file, command.root, command.name)
    if command.json:
        print_json({"run": str(run.path)})
    else:
        print(f"run: {run.path}")
