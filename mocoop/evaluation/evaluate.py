"""Evaluation on test images: accuracy, calibration and routing."""

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
    distinct,
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
    """Results on the test images of some classes; only these classes can be predicted."""

    classes: str
    """all, base or new."""
    accuracy: float
    """Accuracy in percent."""
    num_images: int
    per_class: dict[str, float] = field(default_factory=dict)
    """Class name → accuracy in percent; equal names are numbered, as in `confusion`."""
    per_style: dict[str, float] = field(default_factory=dict)
    """True style → accuracy in percent; empty if styles are unknown."""
    expert_usage: dict[str, float] = field(default_factory=dict)
    """Expert → mean mixture weight."""
    style_nmi: float | None = None
    """Normalised mutual information of the first chosen expert and the true style, 0 to 1;
    None with one expert or unknown styles."""
    calibration_error: float = 0.0
    """Expected calibration error in percent, with 15 bins."""
    routing: dict[str, Any] = field(default_factory=dict)
    """Entropy and load of the router (`RoutingMeasures`); empty with one expert."""
    agreement: dict[str, float] = field(default_factory=dict)
    """Agreement of the router with its guide, which knows the labels (`GuideAgreement`), in
    percent; empty if the guide was not asked for."""
    macro_f1: float | None = None
    """Mean of the F1 scores of the classes, in percent; None, like the fields below, in results
    of earlier versions."""
    mean_class_accuracy: float | None = None
    """Mean of the accuracies of the classes, in percent."""
    top5_accuracy: float | None = None
    """Share of images whose class is among the five most probable, in percent; None with five
    classes or fewer."""
    confusion: dict[str, dict[str, int]] = field(default_factory=dict)
    """True class → predicted class → number of images, without pairs that do not occur."""


@dataclass(frozen=True)
class RoutedItems:
    """Images of a data set with their labels, predictions and routing."""

    items: tuple[Item, ...]
    labels: torch.Tensor  # (images,), indices into `routed.class_names`
    routed: Routed
    guide: torch.Tensor | None = None  # (images, experts), the scores of the hard prompts


def route_items(
    classifier: Classifier,
    dataset: Dataset,
    cache: FeatureCache,
    choice: str = "all",
    split: str = "test",
    progress: Progress | None = None,
    prototypes: torch.Tensor | None = None,
) -> RoutedItems:
    """Returns the images of some classes in a split, classified among these classes.

    Args:
        classifier: the classifier of a trained run.
        dataset: a data set whose classes, or the first of them, are those of the classifier.
        cache: image features of the run's backbone.
        choice: all, base or new.
        split: train, val or test.
        progress: called with (done, total) while image features are computed.
        prototypes: (experts, classes, dim); if given, the result also has the guide's scores.

    Raises:
        UserError: if the split has no image of these classes.
    """
    labels = class_range(choice, len(dataset.class_names))
    items = dataset.items(split, labels)
    if not items:
        of_classes = "" if choice == "all" else f" of the {choice} classes"
        raise UserError(
            f"{dataset.name} has no {split} images{of_classes}. Add images to every class, or a "
            f"part {split}/."
        )
    features = cache.features(dataset, items, progress=progress)[:, 0]
    routed = classifier.subset(labels).classify(features)
    own_labels = torch.tensor([item.label - labels.start for item in items])
    if prototypes is None or len(routed.experts) == 1:
        return RoutedItems(items, own_labels, routed)
    guide = guide_scores(features, prototypes[:, list(labels)], own_labels)
    return RoutedItems(items, own_labels, routed, guide)


def evaluate(routed_items: RoutedItems, choice: str) -> Evaluation:
    """Returns accuracy, calibration and routing measures of classified images.

    Args:
        routed_items: the images, as `route_items` returns them.
        choice: their classes: all, base or new.
    """
    routed, labels = routed_items.routed, routed_items.labels
    correct = routed.probabilities.argmax(dim=-1) == labels
    styles = [item.style for item in routed_items.items]
    known = all(style is not None for style in styles)
    several = len(routed.experts) > 1
    first = routed.weights.argmax(dim=-1).tolist()
    nmi = style_information(styles, first) if several else None
    routing = routing_measures(routed.scores, routed.weights) if several else None
    agreement = None
    if routed_items.guide is not None:
        # Of one image a weight may be too small for its number format, and so 0.
        num_chosen = int((routed.weights > 0).sum(dim=1).max())
        agreement = guide_agreement(routed.scores, routed_items.guide, num_chosen)
    called = distinct(routed.class_names)  # as in the confusion
    names = [called[label] for label in labels.tolist()]
    usage = routed.weights.mean(dim=0).tolist()
    counts = confusion_counts(routed.probabilities, labels)
    return Evaluation(
        choice,
        100.0 * correct.float().mean().item(),
        len(routed_items.items),
        _accuracy_by_name(names, correct),
        _accuracy_by_name([str(style) for style in styles], correct) if known else {},
        dict(zip(routed.experts, usage, strict=True)),
        nmi,
        calibration_error(routed.probabilities, labels),
        {} if routing is None else asdict(routing),
        {} if agreement is None else asdict(agreement),
        macro_f1(counts),
        mean_class_accuracy(counts),
        top_accuracy(routed.probabilities, labels),
        confusion_by_name(counts, routed.class_names),
    )


def _accuracy_by_name(names: Sequence[str], correct: torch.Tensor) -> dict[str, float]:
    """Returns name → accuracy in percent, in order of first appearance."""
    hits: dict[str, list[bool]] = {}
    for name, is_correct in zip(names, correct.tolist(), strict=True):
        hits.setdefault(name, []).append(is_correct)
    return {name: 100.0 * sum(values) / len(values) for name, values in hits.items()}
