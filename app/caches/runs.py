"""What the pages load and keep: every cache names all that its value depends on."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st
from torch import Tensor

from app.caches import data as data_caches
from app.caches.data import as_png, backbone, dataset
from app.common import galleries
from app.common.run_labels import LabelledRun, run_labels
from mocoop.catalog.change_stamp import data_stamp
from mocoop.classifiers import saved as classifiers
from mocoop.classifiers.base import Classifier, Routed
from mocoop.classifiers.saved import check_same_data
from mocoop.clip.backbone import Backbone
from mocoop.clip.device import tower_dtype
from mocoop.datasets import Item
from mocoop.datasets.splits import few_shot_items
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import RoutedItems, route_items
from mocoop.features.cache import FeatureCache
from mocoop.features.encode import ImageEncoder
from mocoop.methods import METHODS
from mocoop.runs.run import Run, RunSetup, list_runs, open_run
from mocoop.runs.status import FINISHED


@dataclass(frozen=True)
class TrainingImages:
    """The few images that a run was trained on."""

    items: tuple[Item, ...]
    features: Tensor  # (images, dim), L2-normalised


def finished_runs() -> list[Run]:
    """Returns the runs that can be looked at, newest first; read from disk each time."""
    found = []
    for run in list_runs():
        with suppress(UserError):  # it was deleted between the two looks
            if run.status().state == FINISHED:
                found.append(run)
    return found


def labels_of(runs: Mapping[str, Run]) -> dict[str, str]:
    """Returns name → what a choice of runs shows; a damaged run is called by its folder."""
    named = []
    for run in runs.values():
        with suppress(UserError):  # it was deleted between the two looks
            named.append(_named(str(run.path), stamp_of(run)))
    return {name: name for name in runs} | run_labels(named)


@st.cache_data(show_spinner=False, max_entries=5000)
def _named(path: str, stamp: float) -> LabelledRun:
    run, config = Run(Path(path)), None
    with suppress(UserError):
        config = run.setup().config
    return LabelledRun(run.name, config, run.status().started)


def stamp_of(run: Run) -> float:
    """Returns what changes when a run of the same name is made anew.

    Raises:
        UserError: if the run is gone.
    """
    try:
        return (run.path / "status.json").stat().st_mtime
    except OSError as error:
        raise UserError(f"Run {run.name} is gone: its folder cannot be read.") from error


def run_backbone(run: Run) -> Backbone:
    """Returns the CLIP that a run sees images with, its own LayerNorms in it.

    Raises:
        UserError: if the weights are no longer those that the run was trained with.
    """
    made_of = run.setup()
    clip = backbone(made_of.config.backbone)
    made_of.check_backbone(clip.fingerprint)
    tuned = made_of.config.tune_layer_norms
    return _tuned_backbone(str(run.path), stamp_of(run)) if tuned else clip


@st.cache_resource(show_spinner="Loading the tuned CLIP …", max_entries=4)
def _tuned_backbone(path: str, stamp: float) -> Backbone:
    run = open_run(path)
    return classifiers.run_backbone(run, backbone(run.setup().config.backbone))


def encoder(run: Run) -> ImageEncoder:
    """Returns how a run sees pictures: its CLIP, in the number format it was trained with."""
    clip = run_backbone(run)
    return ImageEncoder(clip, tower_dtype(run.setup().config.precision, clip.device))


def feature_cache(run: Run) -> FeatureCache:
    """Returns the image features of a run's CLIP, kept on disk."""
    clip = encoder(run)
    return FeatureCache(clip.backbone, precision=clip.precision)


def classifier(run: Run) -> Classifier:
    """Returns a run's classifier of all classes."""
    return _classifier(str(run.path), stamp_of(run))


@st.cache_resource(show_spinner="Opening the run …", max_entries=16)
def _classifier(path: str, stamp: float) -> Classifier:
    run = open_run(path)
    return classifiers.open_classifier(run, loaded=backbone(run.setup().config.backbone))


def classifier_of_known(run: Run) -> Classifier:
    """Returns a run's classifier of all the classes that it can tell apart."""
    made_of, found = run.setup(), classifier(run)
    return found.only(range(made_of.trained_classes)) if knows_trained_only(made_of) else found


def knows_trained_only(made_of: RunSetup) -> bool:
    """Returns whether a run has nothing to say of the classes that it was not trained on."""
    config = made_of.config
    return METHODS[config.method].trained_classes_only and config.classes == "base"


def routed_test_items(run: Run, choice: str) -> RoutedItems:
    """Returns every test image of a choice of classes with its routing.

    Raises:
        UserError: if data or weights changed since the run was trained.
    """
    return _routed(str(run.path), stamp_of(run), data_stamp(run.setup().config.data), choice)


@st.cache_resource(show_spinner="Routing the test images …", max_entries=8)
def _routed(path: str, stamp: float, data_as_it_is: str, choice: str) -> RoutedItems:
    run = open_run(path)
    made_of = run.setup()
    data, clip = dataset(made_of.config.data), backbone(made_of.config.backbone)
    check_same_data(run, made_of, data, clip)
    return route_items(classifier(run), data, feature_cache(run), choice)


def feature_of(run: Run, item: Item) -> Tensor:
    """Returns the feature (dim,) that a run's CLIP sees an item's picture as."""
    data = dataset(run.setup().config.data)
    return encoder(run).pictures([data.image(item)])[0]


def test_items(run: Run, label: int) -> tuple[Item, ...]:
    """Returns the test images of a class.

    Raises:
        UserError: if data or weights changed since the run was trained.
    """
    made_of = run.setup()
    data, clip = dataset(made_of.config.data), backbone(made_of.config.backbone)
    check_same_data(run, made_of, data, clip)
    return data.items("test", [label])


def routed_sample(run: Run, number: int) -> tuple[Item, bytes, Routed]:
    """Returns a test image of a run's data set by a number, as PNG, with its routing.

    Numbers 0, 1, 2 ... visit the test images in a shuffled order that stays the same.

    Raises:
        UserError: if data or weights changed since the run was trained.
    """
    made_of = run.setup()
    data, clip = dataset(made_of.config.data), backbone(made_of.config.backbone)
    check_same_data(run, made_of, data, clip)
    known = range(made_of.trained_classes) if knows_trained_only(made_of) else None
    items = data.items("test", known)
    if not items:
        raise UserError(f"{data.name} has no test image.")
    item = random.Random(0).sample(items, len(items))[number % len(items)]
    image = data.image(item)
    routed = classifier_of_known(run).classify(encoder(run).pictures([image]))
    return item, as_png(image, 336), routed


def gallery(run: Run, choice: str) -> pd.DataFrame:
    """Returns the table of a run's test images; shared, so not to be changed in place."""
    return _gallery(str(run.path), stamp_of(run), choice)


@st.cache_resource(show_spinner=False, max_entries=8)
def _gallery(path: str, stamp: float, choice: str) -> pd.DataFrame:
    return galleries.gallery_table(routed_test_items(open_run(path), choice))


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
    data = data_caches.dataset(config.data)
    items, _ = few_shot_items(config, data)
    features = feature_cache(run).features(data, items)
    return TrainingImages(items, features[:, 0])
