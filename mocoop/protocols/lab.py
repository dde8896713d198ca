"""The overfitting lab: its methods at the same rate, and the measures after each epoch.

The learning rate is constant and there is no warm-up, so that the first epochs of a long training
are exactly a shorter training. One run therefore covers every number of epochs up to its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mocoop.classifiers.base import Classifier
from mocoop.classifiers.prompts import MixtureClassifier
from mocoop.classifiers.saved import check_same_data, open_classifier
from mocoop.clip.backbone import Backbone
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset
from mocoop.datasets.splits import class_range
from mocoop.errors import UserError, choose_from
from mocoop.evaluation.measures import reliability_table
from mocoop.features.cache import FeatureCache
from mocoop.presets import preset
from mocoop.runs.features import load_gate
from mocoop.runs.run import Run

METHODS = COOP, LASP, MOCOOP = "coop", "lasp", "mocoop"
"""The methods of the lab: one prompt, one prompt with a text loss, a mixture."""
SUPERVISED = tuple(method for method in METHODS if preset(method).text_weight > 0)
"""The methods with a text loss."""
HALVES = ("base", "new")
OWN_RATE = preset(COOP).learning_rate
"""The learning rate that was chosen on validation images; it is the same for all three methods."""
OWN_WEIGHTS = {method: preset(method).text_weight for method in SUPERVISED}
"""Method → its weight of the text loss, chosen on validation images."""
BINS = 15  # bins of the reliability table
SMOOTHED = 5
"""Epochs over which the training accuracy is averaged to see whether it falls."""
FALL = 10.0
"""Points by which the training accuracy of a training that went off has fallen from its best."""
ROUTING = ("router", "uniform", "random", "best_single", "oracle", "gain", "gain_error")


@dataclass(frozen=True)
class LabSettings:
    """The settings of the lab's sliders."""

    data: str = "halves"
    shots: int = 16
    """Training images per class."""
    seed: int = 1
    text_weight: float = 5.0
    """Weight of the text loss of LASP and MoCoOp; CoOp has no text loss."""
    epochs: int = 40
    learning_rate: float = OWN_RATE
    """Learning rate of all methods, in every epoch."""

    def config(self, method: str) -> TrainConfig:
        """Returns the settings of a method's training on the base half.

        Raises:
            UserError: for a method that is not in the lab, or invalid settings.
        """
        if method not in METHODS:
            raise choose_from("method of the lab", method, METHODS)
        weight = self.text_weight if method in SUPERVISED else 0.0
        return replace(
            preset(method),
            data=self.data,
            shots=self.shots,
            seed=self.seed,
            classes="base",
            text_weight=weight,
            learning_rate=self.learning_rate,
            schedule="constant",
            warmup_epochs=0,
            epochs=self.epochs,
            save_every=1,
        )


@dataclass(frozen=True)
class LabRun:
    """Measures of a training after each epoch, on test images of the base and the new half.

    These test accuracies are only shown: nothing is chosen by them.
    """

    count: Tensor = field(repr=False)
    """(epochs + 1, halves, bins): number of images, binned by their top probability."""
    right: Tensor = field(repr=False)
    """(epochs + 1, halves, bins): number of correctly classified images."""
    confidence: Tensor = field(repr=False)
    """(epochs + 1, halves, bins): sum of the images' top probabilities."""
    train: Tensor = field(repr=False)
    """(epochs + 1,): accuracy on the training images during the epoch, in percent; NaN for epoch
    0."""
    cosine: Tensor = field(repr=False)
    """(epochs + 1, halves): mean cosine between soft features and their own prototypes."""
    routing: Tensor = field(repr=False)
    """(halves, 7): `ROUTING` in percent after the last epoch; NaN with one expert."""

    @property
    def epochs(self) -> int:
        """The number of epochs of the training."""
        return len(self.count) - 1

    def accuracy(self, half: str) -> Tensor:
        """Returns the accuracy by epoch (epochs + 1,) in percent; epoch 0 is before training."""
        index = HALVES.index(half)
        return 100.0 * self.right[:, index].double().sum(-1) / self._images(index)

    def calibration_error(self, half: str) -> Tensor:
        """Returns the expected calibration error by epoch (epochs + 1,) in percent."""
        index = HALVES.index(half)
        gaps = (self.right[:, index].double() - self.confidence[:, index].double()).abs()
        return 100.0 * gaps.sum(-1) / self._images(index)

    def drift(self, half: str) -> Tensor:
        """Returns 1 - cosine between soft features and their own prototypes, (epochs + 1,)."""
        return 1.0 - self.cosine[:, HALVES.index(half)].double()

    def routing_of(self, half: str) -> dict[str, float]:
        """Returns `ROUTING` name → value in percent; empty with one expert."""
        values = self.routing[HALVES.index(half)].tolist()
        by_name = dict(zip(ROUTING, values, strict=True))
        return {} if math.isnan(by_name["router"]) else by_name

    def fall(self, epoch: int | None = None) -> float:
        """Returns how far the training accuracy has fallen from its best, in points; 0 or more.

        Means over `SMOOTHED` epochs are compared, because a single epoch is noisy. A training
        whose last epoch is high again has recovered, so that epoch counts if it is the higher.

        Args:
            epoch: the last epoch that counts; the last of all by default.
        """
        last = self.epochs if epoch is None else epoch
        known = self.train[1 : last + 1].double()
        if len(known) < SMOOTHED:
            return 0.0
        means = known.unfold(0, SMOOTHED, 1).mean(-1)  # (epochs - SMOOTHED + 1,)
        return max(0.0, float(means.max() - torch.maximum(means[-1], known[-1])))

    def went_off(self, epoch: int | None = None) -> bool:
        """Returns whether the training went off: its training accuracy fell by `FALL` or more."""
        return self.fall(epoch) >= FALL

    def _images(self, half_index: int) -> Tensor:
        """Returns the number of test images of a half, (epochs + 1,)."""
        return self.count[:, half_index].double().sum(-1)


def measure(run: Run, dataset: Dataset, backbone: Backbone) -> LabRun:
    """Returns the measures of one of the lab's runs after every epoch.

    Args:
        run: a finished run with the settings of `LabSettings.config`.
        dataset: the data set on which it was trained.
        backbone: the CLIP with which it was trained.

    Raises:
        UserError: for a run with other settings, or data or weights that have changed since.
    """
    setup = run.setup()
    check_same_data(run, setup, dataset, backbone)
    if setup.config.classes != "base" or setup.config.tunes_images or setup.config.conditional:
        raise UserError(
            f"Run {run.path} is not one of the lab's: expected a run trained on the base half, "
            "with a frozen image tower, and prompts that are the same for all images."
        )
    saved = run.features()
    if list(saved.soft) != list(range(setup.config.epochs + 1)):
        raise UserError(f"Run {run.path} did not save every epoch. Train it with save_every 1.")
    last = open_classifier(run, loaded=backbone)
    if not isinstance(last, MixtureClassifier) or (len(last.experts) > 1 and not saved.gates):
        raise UserError(f"Run {run.path} did not save its router by epoch. Train it again.")
    test_images = {half: _test_images(dataset, FeatureCache(backbone), half) for half in HALVES}
    tables = []
    for epoch, soft in saved.soft.items():
        gate = load_gate(saved.gates.get(epoch, {}))
        at_epoch = replace(last, soft=soft, gate=gate)
        tables.append([_bins(at_epoch, half, *test_images[half]) for half in HALVES])
    stacked = torch.tensor(tables, dtype=torch.float64)  # (epochs + 1, halves, bins, 3)
    labels = [list(class_range(half, len(setup.class_names))) for half in HALVES]
    cosines = [
        [(soft * saved.prototypes).sum(-1)[:, of_half].mean().item() for of_half in labels]
        for soft in saved.soft.values()
    ]
    return LabRun(
        stacked[..., 0].round().to(torch.int16),
        stacked[..., 1].round().to(torch.int16),
        stacked[..., 2].float(),
        torch.tensor([_number(record["train_accuracy"]) for record in run.records()]),
        torch.tensor(cosines),
        torch.tensor([_routing(run, half) for half in HALVES]),
    )


def _test_images(dataset: Dataset, cache: FeatureCache, half: str) -> tuple[Tensor, Tensor]:
    """Returns features (images, dim) and labels (images,) of a half's test images.

    Labels start from 0 in each half.
    """
    labels = class_range(half, len(dataset.class_names))
    items = dataset.items("test", labels)
    features = cache.features(dataset, items)[:, 0]
    return features, torch.tensor([item.label - labels.start for item in items])


def _bins(
    classifier: Classifier, half: str, features: Tensor, labels: Tensor
) -> list[tuple[float, float, float]]:
    """Returns (images, correct images, summed confidence) of every bin of one half."""
    labels_of_half = class_range(half, len(classifier.class_names))
    routed = classifier.subset(labels_of_half).classify(features)
    return [
        (bin.count, bin.count * (bin.accuracy or 0.0), bin.count * (bin.mean_confidence or 0.0))
        for bin in reliability_table(routed.probabilities, labels, BINS)
    ]


def _routing(run: Run, half: str) -> list[float]:
    value = run.results()[half].get("routing_value")
    return [_number(None if value is None else value[name]) for name in ROUTING]


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
