"""The results of a run on the test split, and those of the untrained prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import torch

from mocoop.classifiers.base import Classifier
from mocoop.classifiers.hard import classifier_of_text
from mocoop.classifiers.prompts import MixtureClassifier
from mocoop.clip.backbone import Backbone
from mocoop.config import TrainConfig
from mocoop.datasets.base import Dataset, Item
from mocoop.datasets.splits import class_range
from mocoop.evaluation.evaluate import RoutedItems, evaluate, route_items
from mocoop.evaluation.measure_table import extra_measures
from mocoop.evaluation.measures import harmonic_mean
from mocoop.evaluation.paired import pair_counts
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
    untrained: Mapping[str, torch.Tensor] | None = None,
) -> dict:
    """Returns the results of a run on the test split: for all classes, or base, new and HM.

    Choices of classes without test images are left out. With `untrained`, a choice's results also
    have the accuracy of the untrained prompt, `zero_shot`, and the counts of a paired test of the
    run against it, `against_zero_shot` (the fields of `PairTest` that count images).

    Args:
        classifier: the classifier of the trained run.
        config: the settings of the run.
        dataset: its data set.
        cache: image features of the image tower after training.
        prototypes: (experts, classes, dim), the hard prompts that guided the router's training.
        untrained: choice of classes → whether the untrained prompt is right, (images,).
    """
    choices = choices_tested(config, dataset)
    results: dict = {KEY: dataset.val_is_test}
    for choice in choices:
        items = route_items(classifier, dataset, cache, choice, prototypes=prototypes)
        results[choice] = asdict(evaluate(items, choice)) | extra_measures(items)
        if len(classifier.experts) > 1:
            value = routing_value(classifier, dataset, cache, config, choice)
            results[choice]["routing_value"] = asdict(value)
        if untrained is not None and choice in untrained:
            zero_shot = untrained[choice]
            results[choice]["zero_shot"] = 100.0 * zero_shot.float().mean().item()
            results[choice]["against_zero_shot"] = pair_counts(_right(items), zero_shot)
    if {"base", "new"} <= set(results):
        results["harmonic_mean"] = harmonic_mean(
            results["base"]["accuracy"], results["new"]["accuracy"]
        )
    return results


def zero_shot_on_test(
    config: TrainConfig, dataset: Dataset, backbone: Backbone, cache: FeatureCache
) -> dict[str, torch.Tensor]:
    """Returns on which test images the data set's zero-shot template is right.

    The keys are the choices of classes: all, or base and new. The values are (images,), in the
    order of the test images of these classes.

    Args:
        config: the settings of a run.
        dataset: its data set.
        backbone: its CLIP.
        cache: image features of the image tower before training.
    """
    untrained = _untrained(dataset, backbone)
    return {
        choice: _right(route_items(untrained, dataset, cache, choice))
        for choice in choices_tested(config, dataset)
    }


def zero_shot_accuracy(
    dataset: Dataset,
    backbone: Backbone,
    cache: FeatureCache,
    items: Sequence[Item],
    classes: range,
) -> float | None:
    """Returns the accuracy of the data set's zero-shot template on images, in percent.

    Args:
        dataset: the data set.
        backbone: the CLIP.
        cache: image features of the image tower before training.
        items: images of the data set; without any, None is returned.
        classes: the labels that can be predicted.
    """
    if not items:
        return None
    features = cache.features(dataset, items)[:, 0]  # (images, dim)
    routed = _untrained(dataset, backbone).subset(classes).classify(features)
    labels = torch.tensor([item.label - classes.start for item in items])
    right = routed.probabilities.argmax(dim=-1) == labels
    return 100.0 * right.float().mean().item()


def _untrained(dataset: Dataset, backbone: Backbone) -> MixtureClassifier:
    """Returns the classifier of the data set's zero-shot template."""
    names, template = dataset.class_names, dataset.templates.zero_shot
    text = backbone.text.encode_template(template, names).cpu()[None]  # (1, classes, dim)
    return classifier_of_text(text, names, backbone.logit_scale)


def _right(items: RoutedItems) -> torch.Tensor:
    """Returns whether each image is classified correctly, (images,)."""
    return items.routed.probabilities.argmax(dim=-1) == items.labels


def choices_tested(config: TrainConfig, dataset: Dataset) -> tuple[str, ...]:
    """Returns the choices of classes that a run is tested on and that have test images.

    A new half of one class is left out: among one class every answer is right.
    """
    parts = {c: class_range(c, len(dataset.class_names)) for c in choices_of(config)}
    return tuple(c for c, part in parts.items() if len(part) > 1 and dataset.items("test", part))


def choices_of(config: TrainConfig) -> tuple[str, ...]:
    """Returns the choices of classes that a run is tested on: all, or base and new.

    A method that cannot predict classes without training images has no new classes.
    """
    if config.classes == "all":
        return ("all",)
    return ("base",) if METHODS[config.method].trained_classes_only else ("base", "new")
