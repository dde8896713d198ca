"""Streamlit caches of the Prompt space page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import streamlit as st
from torch import Tensor

from app.caches import data as data_caches
from app.caches.run_list import setup_of, stamp_of
from app.common.access import read_only
from app.common.theme import expert_colours
from app.jobs.maps import Fit, MapMaker
from app.prompt_space import words
from app.prompt_space.group_figures import group_maps
from app.prompt_space.tables import map_table
from mocoop.analysis.drift import Drift, NearWord, drift_table, nearest_groups, nearest_words
from mocoop.analysis.projection import MapSettings, Projection, projection_of
from mocoop.runs.run import Run, open_run


def drift(run: Run) -> list[Drift]:
    """Returns the drift of every expert at every saved epoch."""
    return _drift(str(run.path), stamp_of(run))


@st.cache_data(show_spinner=False, max_entries=16)
def _drift(path: str, stamp: float) -> list[Drift]:
    return drift_table(open_run(path).features())


def records(run: Run) -> list[dict[str, Any]]:
    """Returns the records of a finished run, one per epoch."""
    return _records(str(run.path), stamp_of(run))


@st.cache_data(show_spinner=False, max_entries=16)
def _records(path: str, stamp: float) -> list[dict[str, Any]]:
    return open_run(path).records()


def nearest(run: Run, epoch: int) -> Tensor:
    """Returns for each expert the share of classes whose nearest group is each, after an epoch."""
    return _nearest(str(run.path), stamp_of(run), epoch)


@st.cache_resource(show_spinner=False, max_entries=64)
def _nearest(path: str, stamp: float, epoch: int) -> Tensor:
    features = open_run(path).features()
    return nearest_groups(features.soft[epoch], features.prototypes)


def near_words(run: Run, label: int) -> list[list[list[NearWord]]]:
    """Returns the nearest words of every learned token: experts, tokens, words.

    Args:
        run: a finished run.
        label: the class whose tokens to use if every class has its own.
    """
    own = setup_of(run).config.class_context
    return _words(str(run.path), stamp_of(run), label if own else None)


@st.cache_data(show_spinner=words.LOOKING_FOR_WORDS, max_entries=64)
def _words(path: str, stamp: float, label: int | None) -> list[list[list[NearWord]]]:
    run = open_run(path)
    weights = {
        name: value if label is None else value[label]
        for name, value in run.weights().items()
        if name.startswith("prompts.before.")
    }
    return nearest_words(weights, data_caches.backbone(setup_of(run).config.backbone).text)


def projection(run: Run, settings: MapSettings) -> Projection:
    """Returns a run's joint map; a UMAP map should already be on disk, because its fit is slow."""
    return _projection(str(run.path), stamp_of(run), settings)


@st.cache_resource(show_spinner=False, max_entries=16)
def _projection(path: str, stamp: float, settings: MapSettings) -> Projection:
    return projection_of(open_run(path), settings, in_run=not read_only())


def group_figure(run: Run, settings: MapSettings, classes: Sequence[str], epoch: int) -> go.Figure:
    """Returns the small maps of a run, one per group; sessions share it, so never change it.

    Args:
        run: a finished run that learned prompts.
        settings: those of a map in two dimensions that was already drawn.
        classes: the classes to draw.
        epoch: the epoch that is shown first.
    """
    return _group_figure(str(run.path), stamp_of(run), settings, tuple(classes), epoch)


@st.cache_resource(show_spinner=False, max_entries=32)
def _group_figure(
    path: str, stamp: float, settings: MapSettings, classes: tuple[str, ...], epoch: int
) -> go.Figure:
    run = open_run(path)
    setup, groups = setup_of(run), list(setup_of(run).groups)
    table = map_table(projection(run, settings), setup.groups, setup.class_names)
    points = table[table["class"].isin(classes)]
    return group_maps(points, groups, expert_colours(groups), epoch)


def fit_under_way(run: Run, settings: MapSettings) -> Fit | None:
    """Returns the running fit of a map, started now if necessary; None if the map is on disk.

    Raises:
        UserError: if the fit failed.
    """
    if settings.method == "pca" or (run.path, stamp_of(run), settings) in _maps_on_disk():
        return None
    fit = map_maker().fit(run, settings)
    if fit is None:
        _maps_on_disk().add((run.path, stamp_of(run), settings))
    return fit


@st.cache_resource(show_spinner=False)
def map_maker() -> MapMaker:
    """Returns the MapMaker that all sessions of this server share."""
    return MapMaker()


@st.cache_resource(show_spinner=False)
def _maps_on_disk() -> set[tuple[Path, float, MapSettings]]:
    """Returns the maps that are known to be on disk, as (run's path, run's stamp, settings)."""
    return set()
