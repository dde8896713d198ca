"""Streamlit caches of what methods say about test images, with and without training."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
import torch
from torch import Tensor

from app.caches import runs as run_caches
from app.caches import words
from app.caches.data import backbone, dataset, stamp_of_inputs
from app.caches.run_list import setup_of, stamp_of
from app.caches.runs import inputs_of
from mocoop.classifiers.hard import classifier_of_text, hard_classifier
from mocoop.classifiers.prompts import MixtureClassifier
from mocoop.classifiers.saved import check_same_data
from mocoop.datasets import Item
from mocoop.datasets.splits import class_range
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import RoutedItems, no_image, route_items
from mocoop.evaluation.side_by_side import Answers
from mocoop.features.cache import FeatureCache
from mocoop.methods import METHODS
from mocoop.model.hard_prompts import expert_groups
from mocoop.presets import preset
from mocoop.runs.run import Run, open_run

UNTRAINED = tuple(
    key
    for key, method in METHODS.items()
    if method.learns == "nothing" and not method.needs_images
)
"""The methods that need no run, zero-shot first: keys of `METHODS`."""


@dataclass(frozen=True)
class TestImages:
    """The test images of a choice of classes, with their features by a frozen CLIP."""

    items: tuple[Item, ...]
    labels: Tensor  # (images,), indices into the chosen classes
    features: Tensor  # (images, dim), L2-normalised
    classes: range  # labels in the data set


def run_answers(run: Run, choice: str) -> Answers:
    """Returns what a finished run says about its test images.

    Args:
        run: a finished run.
        choice: the classes to test and to predict: all, base or new.

    Raises:
        UserError: if the run is not finished any more, or was deleted; if the data or CLIP's
            weights changed; or if the method cannot predict one of the classes.
    """
    return _run_answers(str(run.path), stamp_of(run), inputs_of(run), choice)


@st.cache_resource(show_spinner=words.CLASSIFYING_TEST, max_entries=64)
def _run_answers(path: str, stamp: float, inputs: str, choice: str) -> Answers:
    run = open_run(path)
    setup = setup_of(run)
    data, clip = dataset(setup.config.data), backbone(setup.config.backbone)
    check_same_data(run, setup, data, clip)
    cache = run_caches.feature_cache(run)
    return Answers.of(route_items(run_caches.classifier(run), data, cache, choice))


def untrained(clip: str, data: str, method: str) -> MixtureClassifier:
    """Returns the classifier of a method that needs no training, of all classes of a data set.

    Args:
        clip: name of the CLIP.
        data: name of the data set.
        method: one of `UNTRAINED`.
    """
    (templates,) = expert_groups(preset(method), dataset(data).templates).values()
    return _hard(clip, data, stamp_of_inputs(data, clip), templates)


@st.cache_resource(show_spinner=False, max_entries=32)
def _hard(clip: str, data: str, stamp: str, templates: tuple[str, ...]) -> MixtureClassifier:
    return hard_classifier(backbone(clip), dataset(data).class_names, templates)


def typed(clip: str, data: str, template: str) -> MixtureClassifier:
    """Returns the classifier of one typed template, of all classes; the last 200 are cached.

    Raises:
        UserError: if it is longer, with a class name, than the CLIP can read.
    """
    text = text_features(clip, data, template)
    return classifier_of_text(text[None], dataset(data).class_names, backbone(clip).logit_scale)


def text_features(clip: str, data: str, template: str) -> Tensor:
    """Returns the features (classes, dim), L2-normalised, on the CPU, of a filled template.

    Raises:
        UserError: if it is longer, with a class name, than the CLIP can read.
    """
    return _text_features(clip, data, stamp_of_inputs(data, clip), template)


@st.cache_resource(show_spinner=False, max_entries=200)
def _text_features(clip: str, data: str, stamp: str, template: str) -> Tensor:
    return backbone(clip).text.encode_template(template, dataset(data).class_names).cpu()


def untrained_answers(clip: str, data: str, method: str, choice: str) -> Answers:
    """Returns what a method without training says about the test images of a data set."""
    return _untrained_answers(clip, data, stamp_of_inputs(data, clip), method, choice)


@st.cache_resource(show_spinner=words.CLASSIFYING_TEST, max_entries=16)
def _untrained_answers(clip: str, data: str, stamp: str, method: str, choice: str) -> Answers:
    return Answers.of(
        classified(untrained(clip, data, method), images_to_test(clip, data, choice))
    )


def classified(classifier: MixtureClassifier, tested: TestImages) -> RoutedItems:
    """Returns test images with the predictions of a classifier of all classes."""
    routed = classifier.subset(tested.classes).classify(tested.features)
    return RoutedItems(tested.items, tested.labels, routed)


def images_to_test(clip: str, data: str, choice: str) -> TestImages:
    """Returns the test images of a choice of classes with their features by a frozen CLIP.

    Raises:
        UserError: if there is no test image of these classes.
    """
    return _images_to_test(clip, data, stamp_of_inputs(data, clip), choice)


@st.cache_resource(show_spinner=words.ENCODING_TEST, max_entries=4)
def _images_to_test(clip: str, data: str, stamp: str, choice: str) -> TestImages:
    loaded = dataset(data)
    classes = class_range(choice, len(loaded.class_names))
    items = loaded.items("test", classes)
    if not items:
        raise UserError(no_image(loaded.name, "test", choice))
    features = FeatureCache(backbone(clip)).features(loaded, items)[:, 0]
    labels = torch.tensor([item.label - classes.start for item in items])
    return TestImages(items, labels, features, classes)
