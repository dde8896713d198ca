"""Which data sets this machine has, and what is missing of the others."""

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
    """What is known of a set on this machine."""

    name: str
    state: State
    words: str
    """What it holds, or what is wrong."""
    next_step: str = ""
    """The exact step that gets it, where there is one."""


def inventory(root: Path | None = None) -> list[DatasetState]:
    """Returns every built-in and benchmark set with its state.

    Benchmark sets are opened as for a training: lists are read and the first image of every
    class is looked for. `check` opens every image.

    Args:
        root: where benchmark sets are; `data_root()` if None.
    """
    place = root or data_root()
    return [_builtin(name) for name in BUILTIN] + [find(name, place) for name in BENCHMARKS]


def present(root: Path | None = None) -> list[str]:
    """Returns the names of the benchmark sets whose images are there, without opening any."""
    place = root or data_root()
    return [name for name in BENCHMARKS if (place / TABLE[name].images).is_dir()]


def find(name: str, root: Path) -> DatasetState:
    """Returns the state of a benchmark set below a root."""
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
    """Returns the step that gets a benchmark set."""
    source = SOURCES.get(name)
    if source is None:
        return f"put it below the data root as {TABLE[name].layout}"
    return source.by_hand or f"mocoop data download {name}"


def in_numbers(dataset: Dataset) -> str:
    """Returns a set's size in words: '10 classes; 898 train, 359 val, 540 test'."""
    counts = ", ".join(f"{len(items)} {split}" for split, items in dataset.splits.items())
    return f"{len(dataset.class_names)} classes; {counts}"


def _builtin(name: str) -> DatasetState:
    return DatasetState(name, "built in", in_numbers(load_builtin(name)))
