"""What the pages load and keep: every cache names all that its value depends on."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import streamlit as st
from PIL import Image
from torch import Tensor

from app.common.run_labels import Named, run_labels
from mocoop.catalog.change_stamp import data_stamp
from mocoop.catalog.inventory import Found, present
from mocoop.catalog.inventory import inventory as list_sets
from mocoop.catalog.uploads import uploaded_sets
from mocoop.classifiers import saved as classifiers
from mocoop.classifiers.base import Classifier, Routed, encode_images
from mocoop.clip.backbone import Backbone, load_backbone
from mocoop.clip.device import tower_dtype
from mocoop.datasets import BENCHMARKS, Dataset, Item, load_dataset
from mocoop.datasets.benchmarks import data_root
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import RoutedItems, check_same_data, route_items
from mocoop.features.cache import FeatureCache
from mocoop.runs.run import Run, RunSetup, list_runs, open_run
from mocoop.runs.status import FINISHED


@st.cache_resource(show_spinner="Loading the CLIP …", max_entries=2)
def backbone(name: str) -> Backbone:
    """Returns a frozen CLIP; shared by all sessions, never trained in place."""
    return load_backbone(name, "auto")


def dataset(name: str) -> Dataset:
    """Returns a data set as it is on disk now; immutable and shared by all sessions."""
    return _dataset(name, data_stamp(name))


@st.cache_resource(show_spinner="Opening the data set …", max_entries=8)
def _dataset(name: str, stamp: str) -> Dataset:
    return load_dataset(name)


def data_choices() -> list[str]:
    """Returns the data sets to choose from: built in, found on disk, uploaded."""
    ready = [one.name for one in inventory() if one.state in ("built in", "ready")]
    return ready + [str(path) for path in uploaded_sets()]


def sets_at_hand() -> list[str]:
    """Returns the data sets that are on disk or uploaded, in whatever state: a quick look."""
    return present() + [str(path) for path in uploaded_sets()]


def inventory() -> list[Found]:
    """Returns every built-in and benchmark set with its state on this machine."""
    root = data_root()
    return _inventory(str(root), "|".join(data_stamp(name, root) for name in BENCHMARKS))


@st.cache_data(show_spinner="Looking for data sets …", max_entries=4)
def _inventory(root: str, stamps: str) -> list[Found]:
    return list_sets(Path(root))


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
def _named(path: str, stamp: float) -> Named:
    run, config = Run(Path(path)), None
    with suppress(UserError):
        config = run.setup().config
    return Named(run.name, config, run.status().started)


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


def feature_cache(run: Run) -> FeatureCache:
    """Returns the image features of a run's CLIP, in the number format it was trained with."""
    clip = run_backbone(run)
    precision = tower_dtype(run.setup().config.precision, clip.device)
    return FeatureCache(clip, precision=precision)


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
    return made_of.config.method == "linear-probe" and made_of.config.classes == "base"


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
    return encode_images(run_backbone(run), [data.image(item)])[0]


def test_items(run: Run, label: int) -> tuple[Item, ...]:
    """Returns the test images of a class.

    Raises:
        UserError: if data or weights changed since the run was trained.
    """
    made_of = run.setup()
    data, clip = dataset(made_of.config.data), backbone(made_of.config.backbone)
    check_same_data(run, made_of, data, clip)
    return data.items("test", [label])


def thumbnail(data_name: str, item_id: str, label: int, style: str | None, side: int) -> bytes:
    """Returns an item's picture as a small PNG, `side` pixels wide.

    Raises:
        UserError: for a picture that cannot be read.
    """
    item = Item(item_id, label, style)
    try:
        stamp = dataset(data_name).stamp(item)
    except OSError as error:
        raise UserError(f"{item_id}: {error.strerror or error}.") from error
    return _thumbnail(data_name, "" if stamp is None else stamp.text, item_id, label, style, side)


@st.cache_data(show_spinner=False, max_entries=4000)
def _thumbnail(
    data_name: str, stamp: str, item_id: str, label: int, style: str | None, side: int
) -> bytes:
    return as_png(dataset(data_name).image(Item(item_id, label, style)), side)


def as_png(image: Image.Image, side: int) -> bytes:
    """Returns an image as PNG bytes, fitted into a square of `side` pixels."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    sharp = scale >= 1  # enlarge drawings without blurring their pixels
    shown = image.resize(size, Image.Resampling.NEAREST if sharp else Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "PNG")
    return buffer.getvalue()


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
    routed = classifier_of_known(run).classify(encode_images(run_backbone(run), [image]))
    return item, as_png(image, 336), routed
