"""Your own images at a path: a folder of any layout, a table, or one of CoOp's split files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mocoop.datasets.benchmarks import split_templates
from mocoop.datasets.coop_split import has_split, load_coop_split
from mocoop.datasets.folder import FolderDataset, load_tree
from mocoop.datasets.layouts import without_wrappers
from mocoop.datasets.left_aside import left_in_tree
from mocoop.datasets.packed import Packed
from mocoop.datasets.table import SUFFIXES as TABLES
from mocoop.datasets.table import load_table, names_images
from mocoop.datasets.tree import Folder, read_tree
from mocoop.errors import PathError
from mocoop.storage.image_archives import names_in_words


def load_directory(root: Path, name: str = "", packed: Packed | None = None) -> FolderDataset:
    """Returns the data set in a folder.

    One of CoOp's split files is used if there is one. A table beside a single folder of images
    is used too. Other folders are read by their layout.

    Args:
        root: the folder.
        name: name of the set; the folder's name by default.
        packed: what is different in an unpacked archive.

    Raises:
        UserError: if the folder holds no data set.
    """
    tree = read_tree(root)
    inside = without_wrappers(tree)
    dataset = _by_list(tree, inside, packed) or _by_folders(tree, inside, root, packed)
    told = names_in_words(root)
    return replace(
        dataset,
        warnings=(*dataset.warnings, *([told] if told else [])),
        name=name or root.resolve().name,
        path=root.absolute(),
        aside=left_in_tree(
            tree, dataset.root, dataset.splits, (dataset.list_file,), dataset.edits().skipped
        ),
    )


def _by_list(folder: Folder, inside: Folder, packed: Packed | None) -> FolderDataset | None:
    """Returns the data set of a list in a folder, or in single folders around everything else.

    Where there are several folders, they and not a table are the classes.
    """
    if has_split(folder.path):
        return load_coop_split(folder.path, split_templates, packed)
    found = _by_table(folder, packed) if len(folder.folders) < 2 else None
    if found is None and folder is not inside:
        return _by_list(folder.folders[0], inside, packed)
    return found


def _by_folders(tree: Folder, inside: Folder, root: Path, packed: Packed | None) -> FolderDataset:
    """Returns the data set of the folders; if they are no classes, that of a table beside them."""
    try:
        return load_tree(tree, root, packed)
    except PathError:
        found = _by_table(inside, packed)
        if found is None:
            raise
        return found


def _by_table(folder: Folder, packed: Packed | None) -> FolderDataset | None:
    """Returns the data set of the only table in a folder that names images."""
    tables = [folder.path / n for n in folder.others if Path(n).suffix.lower() in TABLES]
    fitting = [table for table in tables if names_images(table)]
    return load_table(fitting[0], packed) if len(fitting) == 1 else None
