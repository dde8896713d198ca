"""Does routing matter? The router compared with simpler choices of experts and with an oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mocoop.classifiers.base import Classifier
from mocoop.classifiers.prompts import ConditionalClassifier, MixtureClassifier
from mocoop.config import TrainConfig
from mocoop.datasets.base import Dataset, Item
from mocoop.datasets.splits import class_range, few_shot_items
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import route_items
from mocoop.features.cache import FeatureCache


@dataclass(frozen=True)
class RoutingValue:
    """Test accuracies, in percent, of several ways to choose the experts."""

    router: float
    """The trained router, K experts per image."""
    uniform: float
    """All experts with equal weight."""
    random: float
    """A random expert per image: the expected accuracy, which is the mean over experts."""
    best_single: float
    """One expert for all images: the one that is best on the run's validation images."""
    best_expert: str
    """The name of this expert."""
    chosen_on: str
    """The split on which it was chosen: validation, or training if there are no validation
    images, or test if validation images are test images too."""
    oracle: float
    """Share of images that at least one expert classifies correctly: an upper bound for the
    choice of one expert."""
    gain: float
    """The router minus the better of `uniform` and `best_single`, in percentage points."""
    gain_error: float
    """Standard error of the gain, from the paired differences of all images, in points."""
    per_expert: dict[str, float]
    """Expert → test accuracy of this expert alone."""


def routing_value(
    classifier: Classifier,
    dataset: Dataset,
    cache: FeatureCache,
    config: TrainConfig,
    choice: str = "all",
) -> RoutingValue:
    """Returns the accuracy of the router and of simpler choices on the test images.

    Args:
        classifier: the classifier of a trained run.
        dataset: the data set it was trained on.
        cache: image features of the run's backbone.
        config: the settings of the run, which determine its validation images.
        choice: the classes to test and to predict: all, base or new.

    Raises:
        UserError: for a run with only one expert.
    """
    mixture = MixtureClassifier | ConditionalClassifier
    if not isinstance(classifier, mixture) or len(classifier.experts) < 2:
        raise UserError("This run has one prompt and no router. Choose a run of a mixture.")
    tested = route_items(classifier, dataset, cache, choice)
    # With all experts chosen each one alone answers by the prompts that it has when it is chosen.
    without_router = classifier.with_all_experts()
    uniform = route_items(without_router, dataset, cache, choice)
    by_expert = _correct_by_expert(uniform.routed.expert_probabilities, uniform.labels)
    items, chosen_on = selection_items(config, dataset)
    trained = class_range(config.classes, len(classifier.class_names))
    features = cache.features(dataset, items)[:, 0]
    selection = without_router.subset(trained).classify(features)
    labels = torch.tensor([item.label for item in items])
    best = int(_correct_by_expert(selection.expert_probabilities, labels).mean(dim=0).argmax())
    accuracies = (100.0 * by_expert.mean(dim=0)).tolist()
    by_router = _correct(tested.routed.probabilities, tested.labels)
    by_uniform = _correct(uniform.routed.probabilities, uniform.labels)
    rival = max(by_uniform, by_expert[:, best], key=torch.mean)
    gains = 100.0 * (by_router - rival)  # (images,)
    return RoutingValue(
        100.0 * by_router.mean().item(),
        100.0 * by_uniform.mean().item(),
        sum(accuracies) / len(accuracies),
        accuracies[best],
        classifier.experts[best],
        chosen_on,
        100.0 * by_expert.amax(dim=1).mean().item(),
        gains.mean().item(),
        gains.std(unbiased=False).item() / len(gains) ** 0.5,
        dict(zip(classifier.experts, accuracies, strict=True)),
    )


def selection_items(config: TrainConfig, dataset: Dataset) -> tuple[Sequence[Item], str]:
    """Returns the few-shot images on which a run may choose an expert, and their split.

    These are the run's validation images, or its training images if it has none. If
    validation images are test images too (ImageNet), the split is called test.
    """
    train, val = few_shot_items(config, dataset)
    if not val:
        return train, "training"
    return val, "test" if dataset.val_is_test else "validation"


def _correct_by_expert(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Returns (images, experts): 1 where the expert alone is correct."""
    return (probabilities.argmax(dim=-1) == labels[:, None]).float()


def _correct(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Returns (images,): 1 where the prediction is correct."""
    return (probabilities.argmax(dim=-1) == labels).float()
