"""Which data sets this machine has, and how to get the others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mocoop.catalog.sources import SOURCES
from mocoop.datasets.base import Dataset
from mocoop.datasets.benchmarks import BENCHMARKS, TABLE, data_root, load_benchmark
from mocoop.datasets.builtin import BUILTIN, load_builtin
from mocoop.errors import UserError

State = Literal["built in", "ready", "broken", "missing"]


@dataclass(frozen=True)
class DatasetState:
    """The state of a data set on this machine."""

    name: str
    state: State
    words: str
    """What the set contains, or what is wrong with it."""
    next_step: str = ""
    """How to get the set; empty if nothing needs to be done."""


def inventory(root: Path | None = None) -> list[DatasetState]:
    """Returns the states of all built-in and benchmark sets.

    Benchmark sets are loaded as for training: lists are read, and the first image of every class
    must exist. `check` opens every image.

    Args:
        root: folder of the benchmark sets; `data_root()` if None.
    """
    folder = root or data_root()
    return [builtin_state(name) for name in BUILTIN] + benchmark_states(folder)


def benchmark_states(root: Path) -> list[DatasetState]:
    """Returns the states of all benchmark sets below a data root."""
    return [find(name, root) for name in BENCHMARKS]


def present(root: Path | None = None) -> list[str]:
    """Returns the names of the benchmark sets whose image folder exists; it opens no files."""
    folder = root or data_root()
    return [name for name in BENCHMARKS if (folder / TABLE[name].images).is_dir()]


def find(name: str, root: Path) -> DatasetState:
    """Returns the state of a benchmark set below the data root."""
    if not (root / TABLE[name].images).is_dir():
        return DatasetState(
            name, "missing", f"expected as {root / TABLE[name].layout}", how_to_get(name)
        )
    try:
        dataset = load_benchmark(name, root)
    except UserError as error:
        return DatasetState(name, "broken", str(error), how_to_get(name))
    remarks = "; ".join(dataset.remarks)
    return DatasetState(name, "ready", f"{in_numbers(dataset)}; {remarks}")


def how_to_get(name: str) -> str:
    """Returns how to get a benchmark set: a command, or a sentence."""
    source = SOURCES.get(name)
    if source is None:
        return f"put it below the data root as {TABLE[name].layout}"
    return source.by_hand or f"mocoop data download {name}"


def in_numbers(dataset: Dataset) -> str:
    """Returns a set's size in words: '10 classes; 898 train, 359 val, 540 test'."""
    counts = ", ".join(f"{len(items)} {split}" for split, items in dataset.splits.items())
    return f"{len(dataset.class_names)} classes; {counts}"


def builtin_state(name: str) -> DatasetState:
    """Returns the state of a built-in set, which is laid out for its numbers."""
    return DatasetState(name, "built in", in_numbers(load_builtin(name)))
