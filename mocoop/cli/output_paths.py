"""Where a command may write: asked before anything slow is done, and without torch."""

from __future__ import annotations

from pathlib import Path

from mocoop.errors import UserError


def check_file(option: str, path: Path | None) -> None:
    """Raises UserError if a file cannot be written there; folders are never made for it.

    Args:
        option: what the user said it with, such as `--csv`.
        path: the file; None where none is asked for.
    """
    if path is None:
        return
    if path.is_dir():
        raise UserError(f"{option}: expected a file, got the folder {path}. Name a file in it.")
    _check_parent(option, path)


def check_folder(option: str, path: Path | None) -> None:
    """Raises UserError if a folder cannot be there; its parent must be there already."""
    if path is None:
        return
    if path.is_file():
        raise UserError(f"{option}: expected a folder, got the file {path}. Name its folder.")
    _check_parent(option, path)


def _check_parent(option: str, path: Path) -> None:
    """Raises UserError if the folder that a file or folder lies in is missing."""
    parent = path.absolute().parent
    if not parent.is_dir():
        raise UserError(
            f"{option} {path}: the folder {parent} does not exist. Check the path, or make the "
            "folder first."
        )
