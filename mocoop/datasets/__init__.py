"""Data sets: the built-in ones, the standard benchmarks, and your own images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from mocoop.config import GIVEN
from mocoop.datasets.archive import archive_name, load_archive
from mocoop.datasets.base import Dataset, Item
from mocoop.datasets.benchmarks import (
    BENCHMARKS,
    data_root,
    images_folder,
    load_benchmark,
    split_templates,
)
from mocoop.datasets.builtin import BUILTIN, PROMPTS_MATTER, is_builtin, load_builtin
from mocoop.datasets.coop_split import load_coop_split
from mocoop.datasets.edits import read_edits
from mocoop.datasets.packed import edits_beside
from mocoop.datasets.path import load_directory
from mocoop.datasets.table import SUFFIXES as TABLES
from mocoop.datasets.table import load_table
from mocoop.errors import UserError, choose_from
from mocoop.older import check_not_old_set
from mocoop.storage.image_archives import archive_suffix
from mocoop.user_paths import user_path

SPLIT_SUFFIX = ".json"  # of CoOp's split files

__all__ = [
    "BENCHMARKS",
    "BUILTIN",
    "PROMPTS_MATTER",
    "Dataset",
    "Item",
    "absolute_source",
    "check_name",
    "dataset_labels",
    "dataset_name",
    "is_builtin",
    "load_dataset",
]


def dataset_name(name: str) -> str:
    """Returns the name that `load_dataset(name)` would have, without listing any folder.

    The set need not be here: a run may come from another machine, or another user's folder.
    """
    if _is_known(name):
        return name
    try:
        path = user_path(name)
    except UserError:  # it may not be looked at, or no file can be called so
        return Path(name).name or name
    if path.suffix.lower() == SPLIT_SUFFIX and path.is_file():
        return path.parent.resolve().name
    if path.is_dir() or not (archive_suffix(path.name) or path.suffix.lower() in TABLES):
        return path.resolve().name
    return archive_name(path)


def absolute_source(name: str) -> str:
    """Returns a name or path of data that means the same in every folder; names are kept."""
    path = user_path(name)
    return str(path.resolve()) if not _is_known(name) and path.exists() else name


def dataset_labels(sources: Iterable[str]) -> dict[str, str]:
    """Returns what tables call each set: its name, or the end of its path if others have that.

    >>> dataset_labels(["digits", "/mine/a/pets", "/mine/b/pets", "/mine/birds"])["/mine/a/pets"]
    'a/pets'

    Args:
        sources: names of sets, or absolute paths.
    """
    sources = list(dict.fromkeys(sources))
    labels = {source: dataset_name(source) for source in sources}
    for length in count(2):
        used = Counter(labels.values())
        twice = [s for s, label in labels.items() if used[label] > 1 and not _is_known(s)]
        if not twice:
            return labels
        for source in twice:
            parts = Path(source).parts
            labels[source] = source if length >= len(parts) else "/".join(parts[-length:])
    raise AssertionError("different paths differ at last")


def load_dataset(name: str, root: Path | None = None, whole: bool = True) -> Dataset:
    """Returns the built-in or benchmark set of this name, or the images at this path.

    A folder with one of CoOp's split files uses that split. Other folders are read by their
    layout. A CSV, TSV or Parquet file needs the columns path and label, and may have split. A zip
    or tar is extracted into the cache and read like a folder.

    Args:
        name: name of the set, or a path.
        root: folder of the benchmark sets; `data_root()` if None.
        whole: refuse a benchmark set that is incomplete.

    Raises:
        UserError: if the name is unknown and no path, or if the data are invalid.
    """
    if is_builtin(name):
        return load_builtin(name)
    if name in BENCHMARKS:
        return load_benchmark(name, root or data_root(), whole)
    path = user_path(name)
    if path.is_file():
        return _load_file(path)
    if path.is_dir():
        return load_directory(path)
    check_not_old_set(name)
    raise _unknown(name)


def check_name(name: str) -> None:
    """Raises UserError if a set does not exist, or if its `mocoop.yaml` is invalid.

    This is quick and does not import torch: it does not look for images.
    """
    if is_builtin(name):
        return
    if name in BENCHMARKS:
        images_folder(name, data_root())
        return
    path = user_path(name)
    if not path.exists():
        check_not_old_set(name)
        raise _unknown(name)
    if path.is_dir():
        read_edits(path)
    else:
        read_edits(edits_beside(path) if archive_suffix(path.name) else path.parent)


def _is_known(name: str) -> bool:
    """Returns whether a set is loaded by its name, whatever folders there are."""
    return is_builtin(name) or name in BENCHMARKS


def _unknown(name: str) -> UserError:
    """Returns the error for a name that is neither a known set nor an existing path."""
    if name == GIVEN:
        return UserError(
            "This run was trained on images that a program passed to `fit`. They are not stored "
            "with the run. It can classify other images, but it has no test images."
        )
    if "/" in name or "\\" in name or Path(name).suffix.lower() in TABLES:
        return UserError(
            f"{name}: no such folder. Expected a folder of class folders, or a table of images."
        )
    error = choose_from("data set", name, (*BUILTIN, *BENCHMARKS))
    return UserError(f"{error} Or give the path of a folder of class folders.")


def _load_file(path: Path) -> Dataset:
    """Returns the data set of a table, a split file or an archive."""
    suffix = path.suffix.lower()
    if suffix in TABLES:
        return load_table(path)
    if suffix == SPLIT_SUFFIX:
        return load_coop_split(path, split_templates)
    if archive_suffix(path.name):
        return load_archive(path)
    if suffix in (".gz", ".xz", ".bz2", ".7z", ".rar"):
        raise UserError(
            f"{path} is an archive of another kind. Extract it and give the folder, or make a zip "
            "or a tar.gz."
        )
    raise UserError(
        f"{path} is not a data set. Expected a folder of class folders, a zip or tar of one, or a "
        f"table of images that ends in {', '.join(TABLES)}."
    )
