"""The paths of the files that ship with the project."""

from __future__ import annotations

from pathlib import Path


def asset(name: str) -> Path:
    """Returns the path of a shipped file or folder.

    In an installed package they are in `mocoop/_assets`, in a checkout in `assets/`.
    """
    package = Path(__file__).resolve().parent
    inside = package / "_assets"
    return (inside if inside.is_dir() else package.parent / "assets") / name
