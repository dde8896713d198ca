"""Data sets: the built-in ones, the field's benchmarks, and anyone's own images."""

from __future__ import annotations

from pathlib import Path

from mocoop.config import GIVEN
from mocoop.datasets.base import Dataset, Item
from mocoop.datasets.benchmarks import (
    BENCHMARKS,
    data_root,
    images_folder,
    load_benchmark,
    split_templates,
)
from mocoop.datasets.builtin import BUILTIN, load_builtin
from mocoop.datasets.coop_split import has_split, load_coop_split
from mocoop.datasets.edits import read_edits
from mocoop.datasets.folder import load_folder
from mocoop.datasets.table import SUFFIXES as TABLES
from mocoop.datasets.table import load_table
from mocoop.errors import UserError, choose_from

__all__ = [
    "BENCHMARKS",
    "BUILTIN",
    "Dataset",
    "Item",
    "check_name",
    "dataset_name",
    "load_dataset",
]


def dataset_name(name: str) -> str:
    """Returns what `load_dataset(name).name` is, without listing any folder."""
    if name in (*BUILTIN, *BENCHMARKS):
        return name
    path = Path(name).expanduser()
    return path.stem if path.suffix.lower() in TABLES else path.name


def load_dataset(name: str, root: Path | None = None, whole: bool = True) -> Dataset:
    """Returns a built-in or benchmark set by its name, or the images at a path.

    A folder with one of CoOp's split files is read by that split, others by their layout; a
    CSV, TSV or Parquet file by its columns path, label and perhaps split.

    Args:
        name: of the set, or a path.
        root: where benchmark sets are; `data_root()` if None.
        whole: refuse a benchmark set that is only half there.

    Raises:
        UserError: for a name that is neither, or data that do not fit.
    """
    if name in BUILTIN:
        return load_builtin(name)
    if name in BENCHMARKS:
        return load_benchmark(name, root or data_root(), whole)
    path = Path(name).expanduser()
    if path.is_file():
        return _load_file(path)
    if path.is_dir():
        return load_coop_split(path, split_templates) if has_split(path) else load_folder(path)
    raise _unknown(name)


def check_name(name: str) -> None:
    """Raises UserError for a set that is not there, or changes beside one that do not fit.

    Quick, and without torch: no image is looked for.
    """
    if name in BUILTIN:
        return
    if name in BENCHMARKS:
        images_folder(name, data_root())
        return
    path = Path(name).expanduser()
    if not path.exists():
        raise _unknown(name)
    read_edits(path if path.is_dir() else path.parent)


def _unknown(name: str) -> UserError:
    """Returns the error for what is neither a set's name nor a path that is there."""
    if name == GIVEN:
        return UserError(
            "This run was trained on images that a program gave to `fit`, and they are not kept "
            "with it. It can classify other images, but it has no test images."
        )
    if "/" in name or "\\" in name or Path(name).suffix.lower() in TABLES:
        return UserError(
            f"{name}: no such folder. Expected a folder of class folders, or a table of images."
        )
    error = choose_from("data set", name, (*BUILTIN, *BENCHMARKS))
    return UserError(f"{error} Or give the path of a folder of class folders.")


def _load_file(path: Path) -> Dataset:
    """Returns the data set of a table of images."""
    suffix = path.suffix.lower()
    if suffix in TABLES:
        return load_table(path)
    if suffix in (".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".7z", ".rar"):
        raise UserError(
            f"{path} is an archive. Extract it and give the folder, or upload it (a zip) on the "
            "app's Data page."
        )
    raise UserError(
        f"{path} is no data set. Expected a folder of class folders, or a table of images that "
        f"ends in {', '.join(TABLES)}."
    )
