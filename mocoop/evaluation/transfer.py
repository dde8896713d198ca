"""Tests of a trained run on another data set: the same prompts with other class names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mocoop.classifiers.assemble import (
    classifier_of_features,
    classifier_of_fit,
    classifier_of_model,
)
from mocoop.classifiers.base import Classifier
from mocoop.classifiers.saved import open_classifier, restore_model, run_encoder
from mocoop.clip.backbone import Backbone
from mocoop.datasets.base import Dataset
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import Evaluation, evaluate, route_items
from mocoop.evaluation.transfer_files import save_evaluation, saved_evaluation
from mocoop.features.cache import FeatureCache, Progress
from mocoop.features.image_keys import ImageKeys
from mocoop.method_record import TEMPLATES
from mocoop.methods import METHODS
from mocoop.model.hard_prompts import group_prototypes, hard_features
from mocoop.runs.run import Run, RunSetup


def evaluate_on(
    run: Run,
    dataset: Dataset,
    cache: FeatureCache | None = None,
    tested_on: str | None = None,
) -> dict[str, Any]:
    """Returns a run's results on the test images of another data set.

    The results are saved in the run's folder and read from there the next time, unless the test
    images or the class names have changed since then.

    Args:
        run: a finished run.
        dataset: the data set to test on; its class names replace those of the run.
        cache: image features of the run's backbone; by default the usual cache.
        tested_on: the key of the set's test images; it is computed if None.

    Raises:
        UserError: for a method that works only with its own classes.
    """
    if tested_on is None:
        tested_on = ImageKeys().of_test(dataset)
    saved = saved_evaluation(run, dataset.source, tested_on)
    if saved is not None:
        return saved
    return save_evaluation(run, dataset, tested_on, measure_on(run, dataset, cache=cache))


def measure_on(
    run: Run,
    dataset: Dataset,
    choice: str = "all",
    cache: FeatureCache | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Returns the results of a run on the test images of another data set, without saving them.

    Args:
        run: a finished run.
        dataset: the data set to test on; its class names replace those of the run.
        choice: all, or the base or new half of the data set's classes.
        cache: image features of the run's backbone; by default the usual cache.
        progress: called while image features are computed.

    Raises:
        UserError: for a run that is not finished, a method that works only with its own classes,
            or classes without test images.
    """
    run.require_finished()
    setup = run.setup()
    encoder = run_encoder(run, None if cache is None else cache.backbone)
    if cache is None or setup.config.tunes_images:
        keep = not setup.config.tunes_images
        cache = FeatureCache(encoder.backbone, keep=keep, precision=encoder.precision)
    classifier = classifier_for(run, setup, dataset, encoder.backbone)
    return evaluate(route_items(classifier, dataset, cache, choice, progress=progress), choice)


def classifier_for(run: Run, setup: RunSetup, dataset: Dataset, backbone: Backbone) -> Classifier:
    """Returns a run's classifier for the classes of another data set.

    Raises:
        UserError: for a method that works only with its own classes.
    """
    names, config = dataset.class_names, setup.config
    method = METHODS[config.method]
    if config.class_context or method.own_classes_only:
        return _subset_of_own_classes(run, setup, dataset)
    if method.classifier == TEMPLATES:
        soft = group_prototypes(hard_features(backbone.text, setup.groups, names)).cpu()
        return classifier_of_features(setup, soft, {}, names)
    if method.fits_image_features:
        text = hard_features(backbone.text, setup.groups, names)[0][0].cpu()
        return classifier_of_fit(
            replace(setup, class_names=names), {**run.weights(), "text": text}
        )
    model = restore_model(setup, run.weights(), backbone)
    return classifier_of_model(setup, model, backbone.text, names)


def _subset_of_own_classes(run: Run, setup: RunSetup, dataset: Dataset) -> Classifier:
    """Returns the run's classifier, limited to the classes of a data set.

    Raises:
        UserError: if the run does not know a class, or two of its classes have the same name.
    """
    if dataset.class_names == setup.class_names:  # the same order, so equal names do no harm
        return open_classifier(run)
    label_of = {name: label for label, name in enumerate(setup.class_names)}
    if len(label_of) < len(setup.class_names):
        raise UserError(
            f"{setup.config.data} has two classes with the same name, so {setup.config.method} "
            "cannot match them to the classes of another data set. Leave this method out."
        )
    unknown = [name for name in dataset.class_names if name not in label_of]
    if unknown:
        raise UserError(
            f"{setup.config.method} knows only the classes of {setup.config.data}, and "
            f"{dataset.name} has others ({', '.join(unknown[:3])} ...). Leave this "
            "method out, or use one whose prompts accept any name, such as coop or mocoop."
        )
    labels = [label_of[name] for name in dataset.class_names]
    return open_classifier(run).subset(labels)
