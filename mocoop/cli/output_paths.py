"""Checks of output paths. Commands run them before anything slow; they do not need torch."""

from __future__ import annotations

import os
from pathlib import Path

from mocoop.errors import UserError
from mocoop.storage.streams import is_stream


def check_file(option: str, path: Path | None) -> None:
    """Raises UserError if a file cannot be written at a path. No folder is made for it.

    Pipes and open files such as /dev/stdout can be written, sockets and disks cannot.

    Args:
        option: the option that gave the path, such as `--csv`.
        path: the file; None if the option was not given.
    """
    if path is None:
        return
    if path.is_dir():
        raise UserError(f"{option}: expected a file, got the folder {path}. Name a file in it.")
    if not is_stream(path):
        _check_parent(option, Path(os.path.realpath(path)) if path.is_symlink() else path)


def check_folder(option: str, path: Path | None) -> None:
    """Raises UserError if a path cannot be a folder. Its parent folder must exist."""
    if path is None:
        return
    if path.is_file():
        raise UserError(f"{option}: expected a folder, got the file {path}. Name a folder.")
    _check_parent(option, path)


def _check_parent(option: str, path: Path) -> None:
    """Raises UserError if the parent folder of a path is missing."""
    parent = path.absolute().parent
    if not parent.is_dir():
        raise UserError(
            f"{option} {path}: the folder {parent} does not exist. Check the path, or make the "
            "folder first."
        )
