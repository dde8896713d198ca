"""Data sets: the built-in ones, the field's benchmarks and any folder of images."""

from __future__ import annotations

from pathlib import Path

from mocoop.datasets.base import Dataset, Item
from mocoop.datasets.benchmarks import BENCHMARKS, data_root, load_benchmark
from mocoop.datasets.builtin import BUILTIN, load_builtin
from mocoop.datasets.coop_split import has_split, load_coop_split
from mocoop.datasets.folder import load_folder
from mocoop.errors import UserError, choose_from

__all__ = ["BENCHMARKS", "BUILTIN", "Dataset", "Item", "dataset_name", "load_dataset"]


def dataset_name(name: str) -> str:
    """Returns what `load_dataset(name).name` is, without listing any folder."""
    return name if name in (*BUILTIN, *BENCHMARKS) else Path(name).expanduser().name


def load_dataset(name: str) -> Dataset:
    """Returns a built-in or benchmark set by its name, or the folder of images at a path.

    Benchmark sets are looked up below `data_root()`. A folder with one of CoOp's split files is
    read by that split, others by their layout.

    Raises:
        UserError: for a name that is neither, or a folder that does not fit.
    """
    if name in BUILTIN:
        return load_builtin(name)
    if name in BENCHMARKS:
        return load_benchmark(name, data_root())
    path = Path(name).expanduser()
    if path.exists():
        return load_coop_split(path) if has_split(path) else load_folder(path)
    if "/" in name or "\\" in name:
        raise UserError(f"{name}: no such folder. Expected a folder of class folders.")
    error = choose_from("data set", name, (*BUILTIN, *BENCHMARKS))
    raise UserError(f"{error} Or give the path of a folder of class folders.")
