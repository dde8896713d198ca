"""The list of data sets, without what takes long to import, such as torch."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.caches import words
from mocoop.catalog.change_stamp import data_stamp
from mocoop.catalog.inventory import DatasetState, benchmark_states, builtin_state, present
from mocoop.catalog.uploads import uploaded_sets
from mocoop.datasets import BENCHMARKS, BUILTIN
from mocoop.datasets.benchmarks import data_root


def data_choices() -> list[str]:
    """Returns the data sets to choose from: built in, found on disk, uploaded.

    No built-in set is laid out for their names, which would take a second.
    """
    ready = [known.name for known in _benchmarks_now() if known.state == "ready"]
    return [*BUILTIN, *ready, *(str(path) for path in uploaded_sets())]


def sets_at_hand() -> list[str]:
    """Returns the data sets that are on disk or uploaded, complete or not; this is fast."""
    return present() + [str(path) for path in uploaded_sets()]


def inventory() -> list[DatasetState]:
    """Returns all built-in and benchmark sets with their state on this machine."""
    return _builtin_sets() + _benchmarks_now()


@st.cache_data(show_spinner=words.LOOKING_FOR_DATA)
def _builtin_sets() -> list[DatasetState]:
    return [builtin_state(name) for name in BUILTIN]


def _benchmarks_now() -> list[DatasetState]:
    """Returns the benchmark sets with their state on this machine."""
    root = data_root()
    return _benchmarks(str(root), "|".join(data_stamp(name, root) for name in BENCHMARKS))


@st.cache_data(show_spinner=words.LOOKING_FOR_DATA, max_entries=4)
def _benchmarks(root: str, stamps: str) -> list[DatasetState]:
    return benchmark_states(Path(root))
