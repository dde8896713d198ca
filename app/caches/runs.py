"""Streamlit caches of runs: classifiers, features and routing; keys hold all inputs."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pandas as pd
import streamlit as st
from torch import Tensor

from app.caches import data as data_caches
from app.caches import words
from app.caches.data import as_png, backbone, dataset
from app.caches.run_list import setup_of, stamp_of
from app.common import galleries
from mocoop.classifiers import saved as classifiers
from mocoop.classifiers.base import Classifier, Routed
from mocoop.classifiers.saved import check_same_data
from mocoop.clip.backbone import Backbone
from mocoop.clip.device import tower_dtype
from mocoop.clip.tuned_tower import routed_features
from mocoop.datasets import Item
from mocoop.datasets.splits import few_shot_items
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import RoutedItems, route_items
from mocoop.features.cache import FeatureCache
from mocoop.features.encode import ImageEncoder
from mocoop.runs.run import Run, open_run


@dataclass(frozen=True)
class TrainingImages:
    """The images that a run was trained on, with their features."""

    items: tuple[Item, ...]
    features: Tensor
    """(images, dim), L2-normalised: those that a router sees, which are CLIP's own if kept."""


def inputs_of(run: Run) -> str:
    """Returns a string that changes when a run's data set or CLIP changes on disk."""
    config = setup_of(run).config
    return data_caches.stamp_of_inputs(config.data, config.backbone)


def run_backbone(run: Run) -> Backbone:
    """Returns the CLIP of a run, with all that the run learned in its image tower.

    Raises:
        UserError: if CLIP's weights differ from those that the run was trained with.
    """
    setup = setup_of(run)
    clip = backbone(setup.config.backbone)
    setup.check_backbone(clip.fingerprint)
    tuned = setup.config.tunes_images
    return _tuned_backbone(str(run.path), stamp_of(run), inputs_of(run)) if tuned else clip


@st.cache_resource(show_spinner=words.LOADING_TUNED_CLIP, max_entries=4)
def _tuned_backbone(path: str, stamp: float, inputs: str) -> Backbone:
    run = open_run(path)
    return classifiers.run_backbone(run, backbone(setup_of(run).config.backbone))


def encoder(run: Run) -> ImageEncoder:
    """Returns the image encoder of a run: its CLIP in the number format of its training."""
    clip = run_backbone(run)
    return ImageEncoder(clip, tower_dtype(setup_of(run).config.precision, clip.device))


def feature_cache(run: Run) -> FeatureCache:
    """Returns the cache on disk of the image features by a run's CLIP."""
    return classifiers.run_features(run, encoder(run))


def classifier(run: Run) -> Classifier:
    """Returns a run's classifier of all classes that it can predict."""
    return _classifier(str(run.path), stamp_of(run), inputs_of(run))


@st.cache_resource(show_spinner=words.OPENING_RUN, max_entries=16)
def _classifier(path: str, stamp: float, inputs: str) -> Classifier:
    run = open_run(path)
    return classifiers.open_classifier(run, loaded=backbone(setup_of(run).config.backbone))


def routed_test_items(run: Run, choice: str) -> RoutedItems:
    """Returns every test image of a choice of classes with its routing.

    Raises:
        UserError: if the data or CLIP's weights changed after the training.
    """
    return _routed(str(run.path), stamp_of(run), inputs_of(run), choice)


@st.cache_resource(show_spinner=False, max_entries=8)
def _routed(path: str, stamp: float, inputs: str, choice: str) -> RoutedItems:
    run = open_run(path)
    setup = setup_of(run)
    data, clip = dataset(setup.config.data), backbone(setup.config.backbone)
    check_same_data(run, setup, data, clip)
    return route_items(classifier(run), data, feature_cache(run), choice)


def has_test_images(run: Run) -> bool:
    """Returns whether a run's data set has test images; with one image per class it has none.

    Raises:
        UserError: if the data or CLIP's weights changed after the training.
    """
    setup = setup_of(run)
    data = dataset(setup.config.data)
    check_same_data(run, setup, data, backbone(setup.config.backbone))
    return bool(data.items("test"))


def test_items(run: Run, label: int) -> tuple[Item, ...]:
    """Returns the test images of a class.

    Raises:
        UserError: if the data or CLIP's weights changed after the training.
    """
    setup = setup_of(run)
    data, clip = dataset(setup.config.data), backbone(setup.config.backbone)
    check_same_data(run, setup, data, clip)
    return data.items("test", [label])


def sample_items(run: Run) -> list[Item]:
    """Returns the test images that a run can classify, always in the same shuffled order.

    Raises:
        UserError: if the data or CLIP's weights changed after the training, or there is no test
            image.
    """
    setup = setup_of(run)
    data, clip = dataset(setup.config.data), backbone(setup.config.backbone)
    check_same_data(run, setup, data, clip)
    known = range(setup.trained_classes) if setup.knows_trained_only else None
    items = data.items("test", known)
    if not items:
        raise UserError(words.no_test_images(data.name))
    return random.Random(0).sample(items, len(items))


def routed_sample(run: Run, number: int) -> tuple[Item, bytes, Routed]:
    """Returns one test image of a run's data set, the image as PNG, and its routing.

    The numbers 0, 1, 2 … go through the test images in the order of `sample_items`.

    Raises:
        UserError: as `sample_items`.
    """
    items = sample_items(run)
    item = items[number % len(items)]
    image = dataset(setup_of(run).config.data).image(item)
    routed = classifier(run).classify(encoder(run).pictures([image]))
    return item, as_png(image, 320), routed


def gallery(run: Run, choice: str) -> pd.DataFrame:
    """Returns the table of a run's test images; sessions share it, so never change it in place."""
    return _gallery(str(run.path), stamp_of(run), inputs_of(run), choice)


@st.cache_resource(show_spinner=False, max_entries=8)
def _gallery(path: str, stamp: float, inputs: str, choice: str) -> pd.DataFrame:
    return galleries.gallery_table(routed_test_items(open_run(path), choice))


def training_images(run: Run) -> TrainingImages:
    """Returns a run's training images with their features by its CLIP.

    Raises:
        UserError: if the data set no longer contains these images.
    """
    return _training_images(str(run.path), stamp_of(run), inputs_of(run))


@st.cache_resource(show_spinner=words.ENCODING_TRAINING, max_entries=8)
def _training_images(path: str, stamp: float, inputs: str) -> TrainingImages:
    run = open_run(path)
    config = setup_of(run).config
    data = data_caches.dataset(config.data)
    items, _ = few_shot_items(config, data)
    cache = feature_cache(run)
    features = cache.features(data, items)[:, 0]
    return TrainingImages(items, routed_features(features, cache.backbone.text.dim))
