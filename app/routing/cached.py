"""What the pages compute from a finished run and keep: every cache names what it depends on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st
from torch import Tensor

from app.caches import runs as run_caches
from app.caches.runs import stamp_of
from app.jobs.maps import Fit, MapMaker
from app.routing import tables
from mocoop.analysis.drift import Drift, NearWord, drift_table, nearest_words
from mocoop.analysis.projection import MapSettings, Projection, projection_of
from mocoop.datasets import Item
from mocoop.evaluation.evaluate import check_same_data, evaluate
from mocoop.evaluation.routing_value import RoutingValue, routing_value
from mocoop.runs.run import Run, open_run
from mocoop.training.prepare import few_shot_items


def gallery(run: Run, choice: str) -> pd.DataFrame:
    """Returns the table of a run's test images; shared, so not to be changed in place."""
    return _gallery(str(run.path), stamp_of(run), choice)


@st.cache_resource(show_spinner=False, max_entries=8)
def _gallery(path: str, stamp: float, choice: str) -> pd.DataFrame:
    return tables.gallery_table(run_caches.routed_test_items(open_run(path), choice))


def style_nmi(run: Run, choice: str) -> float | None:
    """Returns how much first-choice experts and true styles say of each other, 0 to 1."""
    return _style_nmi(str(run.path), stamp_of(run), choice)


@st.cache_data(show_spinner="Comparing experts with styles …", max_entries=32)
def _style_nmi(path: str, stamp: float, choice: str) -> float | None:
    return evaluate(run_caches.routed_test_items(open_run(path), choice), choice).style_nmi


def value_of_routing(run: Run, choice: str) -> RoutingValue:
    """Returns what a run's router is worth on the test images."""
    return _value_of_routing(str(run.path), stamp_of(run), choice)


@st.cache_data(show_spinner="Trying the other choices …", max_entries=32)
def _value_of_routing(path: str, stamp: float, choice: str) -> RoutingValue:
    run = open_run(path)
    made_of = run.setup()
    data = run_caches.dataset(made_of.config.data)
    clip = run_caches.backbone(made_of.config.backbone)
    check_same_data(run, made_of, data, clip)
    cache = run_caches.feature_cache(run)
    return routing_value(run_caches.classifier(run), data, cache, made_of.config, choice)


@dataclass(frozen=True)
class TrainingImages:
    """The few images that a run was trained on."""

    items: tuple[Item, ...]
    features: Tensor  # (images, dim), L2-normalised


def training_images(run: Run) -> TrainingImages:
    """Returns a run's training images with the features that its CLIP sees them as.

    Raises:
        UserError: if the data set no longer has them.
    """
    return _training_images(str(run.path), stamp_of(run))


@st.cache_resource(show_spinner="Encoding the training images …", max_entries=8)
def _training_images(path: str, stamp: float) -> TrainingImages:
    run = open_run(path)
    config = run.setup().config
    data = run_caches.dataset(config.data)
    items, _ = few_shot_items(config, data)
    features = run_caches.feature_cache(run).features(data, items)
    return TrainingImages(items, features[:, 0])


def drift(run: Run) -> list[Drift]:
    """Returns the drift of every expert after every saved epoch."""
    return _drift(str(run.path), stamp_of(run))


@st.cache_data(show_spinner=False, max_entries=16)
def _drift(path: str, stamp: float) -> list[Drift]:
    return drift_table(open_run(path).features())


def words(run: Run, label: int) -> list[list[list[NearWord]]]:
    """Returns the nearest words of every learnt token, by expert.

    Args:
        run: a finished run.
        label: whose tokens to take where every class has its own.
    """
    own = run.setup().config.class_context
    return _words(str(run.path), stamp_of(run), label if own else None)


@st.cache_data(show_spinner="Looking for the nearest words …", max_entries=64)
def _words(path: str, stamp: float, label: int | None) -> list[list[list[NearWord]]]:
    run = open_run(path)
    weights = {
        name: value if label is None else value[label]
        for name, value in run.weights().items()
        if name.startswith("prompts.before.")
    }
    return nearest_words(weights, run_caches.backbone(run.setup().config.backbone).text)


def projection(run: Run, settings: MapSettings) -> Projection:
    """Returns a run's joint map; one by UMAP must be on disk, for it would take long to fit."""
    return _projection(str(run.path), stamp_of(run), settings)


@st.cache_resource(show_spinner=False, max_entries=16)
def _projection(path: str, stamp: float, settings: MapSettings) -> Projection:
    return projection_of(open_run(path), settings)


def fit_under_way(run: Run, settings: MapSettings) -> Fit | None:
    """Returns the fit of a map that is not there yet, begun now if need be; None if it is.

    Raises:
        UserError: if it failed.
    """
    if settings.method == "pca" or (run.path, stamp_of(run), settings) in _maps_there():
        return None
    fit = map_maker().fit(run, settings)
    if fit is None:
        _maps_there().add((run.path, stamp_of(run), settings))
    return fit


@st.cache_resource(show_spinner=False)
def map_maker() -> MapMaker:
    """Returns what fits the maps of this server."""
    return MapMaker()


@st.cache_resource(show_spinner=False)
def _maps_there() -> set[tuple[Path, float, MapSettings]]:
    """Returns the maps known to be on disk, by path and stamp of their run, and settings."""
    return set()
