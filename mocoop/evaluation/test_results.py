"""The results of a run on the test split, and those of the untrained prompt."""

from __future__ import annotations

from dataclasses import asdict

import torch

from mocoop.classifiers.base import Classifier
from mocoop.classifiers.hard import classifier_of_text
from mocoop.classifiers.prompts import MixtureClassifier
from mocoop.clip.backbone import Backbone
from mocoop.config import TrainConfig
from mocoop.datasets.base import Dataset
from mocoop.datasets.splits import class_range
from mocoop.evaluation.evaluate import evaluate, route_items
from mocoop.evaluation.measure_table import extra_measures
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
    """Returns the results of a run on the test split: for all classes, or base, new and HM.

    Choices of classes without test images are left out.

    Args:
        classifier: the classifier of the trained run.
        config: the settings of the run.
        dataset: its data set.
        cache: image features of the image tower after training.
        prototypes: (experts, classes, dim), the hard prompts that guided the router's training.
    """
    choices = choices_tested(config, dataset)
    if METHODS[config.method].trained_classes_only and config.classes == "base":
        choices = ("base",)
    results: dict = {KEY: dataset.val_is_test}
    for choice in choices:
        items = route_items(classifier, dataset, cache, choice, prototypes=prototypes)
        results[choice] = asdict(evaluate(items, choice)) | extra_measures(items)
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
    """Returns the zero-shot test accuracy, in percent, of the data set's template.

    The keys are the choices of classes: all, or base and new.

    Args:
        config: the settings of a run.
        dataset: its data set.
        backbone: its CLIP.
        cache: image features of the image tower before training.
    """
    names, template = dataset.class_names, dataset.templates.zero_shot
    text = backbone.text.encode_template(template, names).cpu()[None]  # (1, classes, dim)
    untrained = classifier_of_text(text, names, backbone.logit_scale)
    return {
        choice: evaluate(route_items(untrained, dataset, cache, choice), choice).accuracy
        for choice in choices_tested(config, dataset)
    }


def choices_tested(config: TrainConfig, dataset: Dataset) -> tuple[str, ...]:
    """Returns the choices of classes that a run is tested on and that have test images."""
    number = len(dataset.class_names)
    choices = choices_of(config)
    return tuple(c for c in choices if dataset.items("test", class_range(c, number)))


def choices_of(config: TrainConfig) -> tuple[str, ...]:
    """Returns the choices of classes that a run is tested on: all, or base and new."""
    return ("all",) if config.classes == "all" else ("base", "new")
