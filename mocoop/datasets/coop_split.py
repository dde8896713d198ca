"""A folder of images that contains CoOp's official split file, `split_zhou_*.json`."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mocoop.datasets.base import SPLITS, Contents, Item
from mocoop.datasets.folder import FolderDataset, assemble
from mocoop.datasets.left_aside import left_beside
from mocoop.datasets.listed_paths import ListedPaths, check_inside
from mocoop.datasets.names import nfc
from mocoop.datasets.packed import Packed
from mocoop.datasets.splits import complete_splits
from mocoop.datasets.tree import subfolders
from mocoop.errors import UserError
from mocoop.storage.typed_json import decode
from mocoop.templates import TemplateSet

PATTERN = "split_zhou_*.json"


def has_split(root: Path) -> bool:
    """Returns whether a folder contains one of CoOp's split files."""
    return any(root.glob(PATTERN))


def load_coop_split(
    path: Path, templates: Callable[[str], TemplateSet], packed: Packed | None = None
) -> FolderDataset:
    """Returns the data set of a split file, with the file's items, labels and class names.

    The paths in the file are relative to its folder or to one of the folders there, such as
    `101_ObjectCategories` beside `split_zhou_Caltech101.json`.

    Args:
        path: the file, or the folder that contains it.
        templates: function that returns the templates for the name of a split file.
        packed: what is different if it was in an archive.

    Raises:
        UserError: for several split files, a damaged one, or missing images.
    """
    root = path if path.is_dir() else path.parent
    files = [path] if path.is_file() else sorted(root.glob(PATTERN))
    if len(files) > 1:
        raise UserError(
            f"{root} has {len(files)} split files ({files[0].name}, {files[1].name} ...), but "
            "only one can be used. Keep one of them there."
        )
    file = files[0]
    contents = read_split(file)
    for items in contents.splits.values():
        for item in items:
            check_inside(file, item.id)
    images = _image_folder(root, file, contents.splits["train"][0].id)
    paths = ListedPaths(images)
    splits = {
        split: tuple(replace(item, id=paths.of(item.id)) for item in items)
        for split, items in contents.splits.items()
    }
    aside = left_beside(images, splits, (file.name,))
    found = contents._replace(splits=splits)
    name = root.resolve().name
    return assemble(name, found, templates(file.name), images, path, aside, packed)


def read_split(file: Path) -> Contents:
    """Returns the classes of a split file in label order, and the items of its splits.

    If it has no validation items, a fifth of the training items becomes the validation split.

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
    given = {split: tuple(Item(path, label) for path, label, _ in rows[split]) for split in SPLITS}
    splits, note = complete_splits(given, f"CoOp's split, {file.name}")
    in_words = tuple(names[label].replace("_", " ") for label in range(len(names)))
    layout = f"the split file {file.name}"
    return Contents(in_words, in_words, splits, note, layout, list_file=file.name)


def _read(file: Path) -> dict[str, list[tuple[str, int, str]]]:
    """Returns split → rows of (path, label, class name)."""
    try:
        content = decode(file.read_bytes().removeprefix(BOM_UTF8), dict[str, Any])
        rows = {
            split: [
                (str(path), int(label), nfc(str(name)))
                for path, label, name in content.get(split) or ()
            ]
            for split in SPLITS
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f"{file} is not a split file of CoOp ({type(error).__name__}: {error}). Expected "
            "train, val and test, each with rows of path, label and class name. Get it again."
        ) from error
    if not rows["train"]:
        raise UserError(f"{file} lists no training image. Get the file again.")
    if not rows["test"] and not rows["val"]:
        raise UserError(f"{file} lists no test image. Get the file again.")
    return rows


def _image_folder(root: Path, file: Path, first: str) -> Path:
    """Returns the folder that the split's paths are relative to."""
    for folder in (root, *subfolders(root)):
        if (folder / ListedPaths(folder).of(first)).is_file():
            return folder
    raise UserError(
        f"{file.name} lists {first}, which is neither in {root} nor in one of its folders. "
        "Extract the images beside the split file."
    )
