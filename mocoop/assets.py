"""The paths of the files that ship with the project, and the check that they are whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mocoop.errors import PathError

SUMS = "SHA256SUMS"
"""The list of checksums among the shipped files, in the form of the program sha256sum."""
CHECKED = (
    "demo-clip/open_clip_model.safetensors",
    *("runs/*/weights.safetensors", "runs/*/features.safetensors"),
    *("federations/*/federation.json", "federations/*/records.json"),
    *("lab/grid.json", "lab/grid.safetensors.gz", "story.json"),
)
"""Patterns of the shipped files with weights, or with what trainings measured."""


def asset(name: str) -> Path:
    """Returns the path of a shipped file or folder.

    In an installed package they are in `mocoop/_assets`, in a checkout in `assets/`.
    """
    package = Path(__file__).resolve().parent
    inside = package / "_assets"
    return (inside if inside.is_dir() else package.parent / "assets") / name


def check_if_shipped(path: Path) -> None:
    """Raises UserError if a file is a shipped one, and not what was published.

    Nothing happens for other files, and for one that is missing: whoever opens it says so.
    """
    if path.is_relative_to(asset("")) and path.is_file():
        check_shipped(path)


def check_shipped(path: Path, root: Path | None = None) -> None:
    """Raises UserError if a shipped file is not what was published.

    Args:
        path: the file.
        root: the folder of the shipped files; `asset("")` if None.
    """
    root = root or asset("")
    name = path.relative_to(root).as_posix()
    if _read_sums(root).get(name) != _digest(path):
        raise PathError(
            path,
            f" is not the file that comes with MoCoOp: its SHA-256 is not that in {root / SUMS}. "
            "Restore it (check the project out or install it again). If you made it anew "
            "yourself, run `python docs/shipped_sums.py --write`.",
        )


def sums_text(root: Path | None = None) -> str:
    """Returns the list of checksums of the shipped files as they are now."""
    root = root or asset("")
    files = sorted(file for pattern in CHECKED for file in root.glob(pattern))
    return "".join(f"{_digest(file)}  {file.relative_to(root).as_posix()}\n" for file in files)


def _read_sums(root: Path) -> dict[str, str]:
    """Returns file → SHA-256; empty without a list."""
    try:
        lines = (root / SUMS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _digest(path: Path) -> str:
    """Returns a file's SHA-256; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
