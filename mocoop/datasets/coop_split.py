"""A folder of images that contains CoOp's official split file, `split_zhou_*.json`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mocoop.datasets.base import SPLITS, Contents, Item
from mocoop.datasets.folder import FolderDataset, assemble
from mocoop.errors import UserError
from mocoop.templates import TemplateSet

PATTERN = "split_zhou_*.json"


def has_split(root: Path) -> bool:
    """Returns whether a folder contains one of CoOp's split files."""
    return any(root.glob(PATTERN))


def load_coop_split(root: Path, templates: Callable[[str], TemplateSet]) -> FolderDataset:
    """Returns the data set of a split file, with the file's items, labels and class names.

    The paths in the file are relative to the folder itself or to one of its subfolders, such as
    `101_ObjectCategories` beside `split_zhou_Caltech101.json`.

    Args:
        root: the folder that contains the file.
        templates: function that returns the templates for the name of a split file.

    Raises:
        UserError: for several split files, a damaged one, or missing images.
    """
    files = sorted(root.glob(PATTERN))
    if len(files) > 1:
        raise UserError(
            f"{root} has {len(files)} split files ({files[0].name}, {files[1].name} ...), but "
            "only one can be used. Keep one of them there."
        )
    names, splits = read_split(files[0])
    images = _image_folder(root, files[0], splits["train"][0].id)
    contents = Contents(names, names, splits, f"CoOp's split, {files[0].name}")
    return assemble(root.resolve().name, contents, templates(files[0].name), images, root)


def read_split(file: Path) -> tuple[tuple[str, ...], dict[str, tuple[Item, ...]]]:
    """Returns the class names of a split file in label order, and the items of its splits.

    Raises:
        UserError: for a damaged file, or one whose labels and names do not match.
    """
    rows = _read(file)
    names: dict[int, str] = {}
    for split in SPLITS:
        for _, label, name in rows[split]:
            if names.setdefault(label, name) != name:
                raise UserError(
                    f"{file} calls label {label} both {names[label]!r} and {name!r}. Get the "
                    "file again."
                )
    if sorted(names) != list(range(len(names))):
        raise UserError(f"{file} skips labels: expected 0 to {len(names) - 1}.")
    splits = {
        split: tuple(Item(path, label) for path, label, _ in rows[split]) for split in SPLITS
    }
    return tuple(names[label].replace("_", " ") for label in range(len(names))), splits


def _read(file: Path) -> dict[str, list[tuple[str, int, str]]]:
    """Returns split → rows of (path, label, class name)."""
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        rows = {
            split: [(str(path), int(label), str(name)) for path, label, name in content[split]]
            for split in SPLITS
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is not a split file of CoOp ({type(error).__name__}: {error}). Expected "
            "train, val and test, each with rows of path, label and class name. Get it again."
        ) from error
    if not rows["train"]:
        raise UserError(f"{file} lists no training image. Get the file again.")
    return rows


def _image_folder(root: Path, file: Path, first: str) -> Path:
    """Returns the folder that the split's paths are relative to."""
    subfolders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    for folder in (root, *subfolders):
        if (folder / first).is_file():
            return folder
    raise UserError(
        f"{file.name} lists {first}, which is neither in {root} nor in one of its folders. "
        "Extract the images beside the split file."
    )
