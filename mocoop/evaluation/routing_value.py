"""Does routing matter at all: the router against simpler and against all-knowing choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mocoop.classifiers.base import Classifier
from mocoop.classifiers.prompts import MixtureClassifier
from mocoop.config import TrainConfig
from mocoop.datasets.base import Dataset, Item
from mocoop.datasets.splits import class_range, few_shot_items
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import route_items
from mocoop.features.cache import FeatureCache


@dataclass(frozen=True)
class RoutingValue:
    """Test accuracies, in percent, of ways to choose the experts."""

    router: float
    """The trained router, K experts per image."""
    uniform: float
    """All experts with equal weight."""
    random: float
    """One expert drawn at random per image: the mean over experts, which is what to expect."""
    best_single: float
    """The same one expert for all images, the best on the run's validation images."""
    best_expert: str
    """Which one that is."""
    chosen_on: str
    """validation, training where the data have no validation images, or test where validation
    images are test images too."""
    oracle: float
    """Images that at least one expert gets right: an upper bound for choosing one."""
    gain: float
    """The router minus the better of `uniform` and `best_single`, in points."""
    gain_error: float
    """Standard error of the gain, from the same images told apart both ways, in points."""
    per_expert: dict[str, float]
    """Expert → test accuracy of that expert alone."""


def routing_value(
    classifier: Classifier,
    dataset: Dataset,
    cache: FeatureCache,
    config: TrainConfig,
    choice: str = "all",
) -> RoutingValue:
    """Returns what the router is worth on the test images of a choice of classes.

    Args:
        classifier: a trained run.
        dataset: the data set it was trained on.
        cache: image features of the run's backbone.
        config: the run's settings, which say what its validation images are.
        choice: all, base or new: the test images, told apart among those classes' names.

    Raises:
        UserError: for a run without several experts.
    """
    if not isinstance(classifier, MixtureClassifier) or len(classifier.experts) < 2:
        raise UserError("This run has one prompt and no router. Choose a run of a mixture.")
    found = route_items(classifier, dataset, cache, choice)
    right = _right_by_expert(found.routed.expert_probabilities, found.labels)
    everyone = replace(classifier, gate=None, num_chosen=len(classifier.experts))
    uniform = route_items(everyone, dataset, cache, choice)
    items, chosen_on = selection_items(config, dataset)
    trained = class_range(config.classes, len(classifier.class_names))
    features = cache.features(dataset, items)[:, 0]
    known = classifier.only(trained).classify(features)
    labels = torch.tensor([item.label for item in items])
    best = int(_right_by_expert(known.expert_probabilities, labels).mean(dim=0).argmax())
    alone = (100.0 * right.mean(dim=0)).tolist()
    by_router = _right(found.routed.probabilities, found.labels)
    evenly = _right(uniform.routed.probabilities, uniform.labels)
    rival = max(evenly, right[:, best], key=torch.mean)
    gains = 100.0 * (by_router - rival)  # (images,)
    return RoutingValue(
        100.0 * by_router.mean().item(),
        100.0 * evenly.mean().item(),
        sum(alone) / len(alone),
        alone[best],
        classifier.experts[best],
        chosen_on,
        100.0 * right.amax(dim=1).mean().item(),
        gains.mean().item(),
        gains.std(unbiased=False).item() / len(gains) ** 0.5,
        dict(zip(classifier.experts, alone, strict=True)),
    )


def selection_items(config: TrainConfig, dataset: Dataset) -> tuple[Sequence[Item], str]:
    """Returns the few-shot images on which a run may choose, and the split they are from.

    These are the run's validation images, or its training images where it has none. Where
    validation images are test images too (ImageNet), the split is called test.
    """
    train, val = few_shot_items(config, dataset)
    if not val:
        return train, "training"
    return val, "test" if dataset.val_is_test else "validation"


def _right_by_expert(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Returns (images, experts): 1 where the expert alone is right."""
    return (probabilities.argmax(dim=-1) == labels[:, None]).float()


def _right(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Returns (images,): 1 where the prediction is right."""
    return (probabilities.argmax(dim=-1) == labels).float()
