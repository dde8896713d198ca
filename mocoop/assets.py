"""Where the files that ship with the project are."""

from __future__ import annotations

from pathlib import Path


def asset(name: str) -> Path:
    """Returns the path of a shipped file or folder.

    An installed package carries `assets/` inside itself; a checkout has it next to `mocoop/`.
    """
    package = Path(__file__).resolve().parent
    inside = package / "_assets"
    return (inside if inside.is_dir() else package.parent / "assets") / name
