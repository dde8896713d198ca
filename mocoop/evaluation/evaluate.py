"""Accuracies on the test split, and how much the routing says about the true style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from mocoop.classifiers.base import Classifier, Routed
from mocoop.datasets.base import Dataset, Item
from mocoop.datasets.splits import class_range
from mocoop.errors import UserError
from mocoop.evaluation.class_measures import (
    confusion_by_name,
    confusion_counts,
    macro_f1,
    mean_class_accuracy,
    top_accuracy,
)
from mocoop.evaluation.measures import (
    calibration_error,
    guide_agreement,
    routing_measures,
    style_information,
)
from mocoop.features.cache import FeatureCache, Progress
from mocoop.model.router import guide_scores


@dataclass(frozen=True)
class Evaluation:
    """Results on the test images of some classes, told apart among those classes' names."""

    classes: str
    """all, base or new."""
    accuracy: float
    """Percent."""
    num_images: int
    per_class: dict[str, float] = field(default_factory=dict)
    """Class name → percent."""
    per_style: dict[str, float] = field(default_factory=dict)
    """True style → percent; empty where styles are unknown."""
    expert_usage: dict[str, float] = field(default_factory=dict)
    """Expert → mean mixture weight."""
    style_nmi: float | None = None
    """Normalised mutual information of the first chosen expert and the true style, 0 to 1;
    None with one expert or unknown styles."""
    calibration_error: float = 0.0
    """Expected calibration error in percent, 15 bins."""
    routing: dict[str, Any] = field(default_factory=dict)
    """Entropy and load of the router (`RoutingMeasures`); empty with one expert."""
    agreement: dict[str, float] = field(default_factory=dict)
    """Of the router with its guide, which knows the labels (`GuideAgreement`), in percent."""
    macro_f1: float | None = None
    """Mean of the classes' F1, in percent; None, like all below, in results of before they were
    measured."""
    mean_class_accuracy: float | None = None
    """Mean of the classes' accuracies, in percent."""
    top5_accuracy: float | None = None
    """Images whose class is among the five most probable, in percent; None with five classes or
    fewer."""
    confusion: dict[str, dict[str, int]] = field(default_factory=dict)
    """True class → predicted class → images, without pairs that never happen."""


@dataclass(frozen=True)
class RoutedItems:
    """Test images of a data set with what the model says of each."""

    items: tuple[Item, ...]
    labels: torch.Tensor  # (images,), into `routed.class_names`
    routed: Routed
    guide: torch.Tensor | None = None  # (images, experts), the hard prompts' scores


def route_items(
    classifier: Classifier,
    dataset: Dataset,
    cache: FeatureCache,
    choice: str = "all",
    split: str = "test",
    progress: Progress | None = None,
    prototypes: torch.Tensor | None = None,
) -> RoutedItems:
    """Returns a split's images of some classes, classified among those classes.

    Args:
        classifier: a trained run.
        dataset: the data set it was trained on.
        cache: image features of the run's backbone.
        choice: all, base or new.
        split: train, val or test.
        progress: called while image features are computed.
        prototypes: (experts, classes, dim), to ask the router's guide as well.
    """
    labels = class_range(choice, len(classifier.class_names))
    items = dataset.items(split, labels)
    if not items:
        raise UserError(f"{dataset.name} has no {split} image of the {choice} classes.")
    features = cache.features(dataset, items, progress=progress)[:, 0]
    routed = classifier.only(labels).classify(features)
    shifted = torch.tensor([item.label - labels.start for item in items])
    if prototypes is None or len(routed.experts) == 1:
        return RoutedItems(items, shifted, routed)
    guide = guide_scores(features, prototypes[:, list(labels)], shifted)
    return RoutedItems(items, shifted, routed, guide)


def evaluate(found: RoutedItems, choice: str) -> Evaluation:
    """Returns the accuracies of classified images."""
    routed = found.routed
    right = routed.probabilities.argmax(dim=-1) == found.labels
    styles = [item.style for item in found.items]
    known = all(style is not None for style in styles)
    several = len(routed.experts) > 1
    first = routed.weights.argmax(dim=-1).tolist()
    nmi = style_information(styles, first) if several else None
    routing = routing_measures(routed.scores, routed.weights) if several else None
    agreement = None
    if found.guide is not None:
        num_chosen = int((routed.weights[0] > 0).sum())
        agreement = guide_agreement(routed.scores, found.guide, num_chosen)
    names = [routed.class_names[label] for label in found.labels.tolist()]
    usage = routed.weights.mean(dim=0).tolist()
    counts = confusion_counts(routed.probabilities, found.labels)
    return Evaluation(
        choice,
        100.0 * right.float().mean().item(),
        len(found.items),
        _share_right(names, right),
        _share_right([str(style) for style in styles], right) if known else {},
        dict(zip(routed.experts, usage, strict=True)),
        nmi,
        calibration_error(routed.probabilities, found.labels),
        {} if routing is None else asdict(routing),
        {} if agreement is None else asdict(agreement),
        macro_f1(counts),
        mean_class_accuracy(counts),
        top_accuracy(routed.probabilities, found.labels),
        confusion_by_name(counts, routed.class_names),
    )


def _share_right(names: Sequence[str], right: torch.Tensor) -> dict[str, float]:
    """Returns name → percent right, names in order of first appearance."""
    hits: dict[str, list[bool]] = {}
    for name, is_right in zip(names, right.tolist(), strict=True):
        hits.setdefault(name, []).append(is_right)
    return {name: 100.0 * sum(values) / len(values) for name, values in hits.items()}
