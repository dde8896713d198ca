"""What a run is worth on the test split, beside the untrained prompt."""

from __future__ import annotations

from dataclasses import asdict

import torch

from mocoop.classifiers.base import ONE, Classifier
from mocoop.classifiers.prompts import MixtureClassifier
from mocoop.clip.backbone import Backbone
from mocoop.config import TrainConfig
from mocoop.datasets.base import Dataset
from mocoop.datasets.splits import class_range
from mocoop.evaluation.evaluate import evaluate, route_items
from mocoop.evaluation.measure_table import computed_apart
from mocoop.evaluation.measures import harmonic_mean
from mocoop.evaluation.routing_value import routing_value
from mocoop.features.cache import FeatureCache
from mocoop.methods import METHODS
from mocoop.runs.chosen_on_test import KEY


def results_on_test(
    classifier: Classifier,
    config: TrainConfig,
    dataset: Dataset,
    cache: FeatureCache,
    prototypes: torch.Tensor,
) -> dict:
    """Returns the results of a run on the test split: all classes, or base, new and their HM.

    Nothing of classes without a test image.

    Args:
        classifier: the trained run.
        config: its settings.
        dataset: its data set.
        cache: features of the image tower as it is after training.
        prototypes: (experts, classes, dim), what the router was taught from.
    """
    choices = choices_tested(config, dataset)
    if METHODS[config.method].trained_classes_only and config.classes == "base":
        choices = ("base",)
    results: dict = {KEY: dataset.val_is_test}
    for choice in choices:
        found = route_items(classifier, dataset, cache, choice, prototypes=prototypes)
        results[choice] = asdict(evaluate(found, choice)) | computed_apart(found)
        if isinstance(classifier, MixtureClassifier) and len(classifier.experts) > 1:
            value = routing_value(classifier, dataset, cache, config, choice)
            results[choice]["routing_value"] = asdict(value)
    if {"base", "new"} <= set(results):
        results["harmonic_mean"] = harmonic_mean(
            results["base"]["accuracy"], results["new"]["accuracy"]
        )
    return results


def zero_shot_on_test(
    config: TrainConfig, dataset: Dataset, backbone: Backbone, cache: FeatureCache
) -> dict[str, float]:
    """Returns the test accuracy in percent that the data set's one template has untrained.

    Args:
        config: a run's settings.
        dataset: its data set.
        backbone: its CLIP.
        cache: features of the image tower as it was before training.
    """
    names, template = dataset.class_names, dataset.templates.zero_shot
    text = backbone.text.encode_template(template, names).cpu()[None]  # (1, classes, dim)
    untrained = MixtureClassifier(names, ONE, text, None, backbone.logit_scale, 1)
    return {
        choice: evaluate(route_items(untrained, dataset, cache, choice), choice).accuracy
        for choice in choices_tested(config, dataset)
    }


def choices_tested(config: TrainConfig, dataset: Dataset) -> tuple[str, ...]:
    """Returns the choices of classes of which the data have test images."""
    number = len(dataset.class_names)
    choices = choices_of(config)
    return tuple(c for c in choices if dataset.items("test", class_range(c, number)))


def choices_of(config: TrainConfig) -> tuple[str, ...]:
    """Returns the choices of classes that a run is tested on."""
    return ("all",) if config.classes == "all" else ("base", "new")
