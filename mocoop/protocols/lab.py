"""The overfitting lab: one recipe for every method, and what is measured after each epoch.

The learning rate is constant and there is no warm-up, so that the first epochs of a long training
are exactly a shorter training: one run answers every number of epochs up to its own.
"""

from __future__ import annotations

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
from mocoop.runs.run import Run, load_gate

METHODS = COOP, LASP, MOCOOP = "coop", "lasp", "mocoop"
"""What the lab compares: one prompt, one prompt with a text loss, a mixture."""
SUPERVISED = tuple(method for method in METHODS if preset(method).text_weight > 0)
"""Methods that have a text loss to weight."""
HALVES = ("base", "new")
LEARNING_RATE = 0.5
"""The mixture's own rate for the small CLIP, and 25 times CoOp's: under the recipes that were
chosen on validation images, one prompt hardly overfits here."""
BINS = 15
ROUTING = ("router", "uniform", "random", "best_single", "oracle", "gain", "gain_error")


@dataclass(frozen=True)
class LabSettings:
    """What the lab's sliders ask for."""

    data: str = "faces"
    shots: int = 16
    """Training images per class."""
    seed: int = 1
    text_weight: float = 5.0
    """Of LASP's and MoCoOp's text loss; CoOp has none."""
    epochs: int = 40

    def config(self, method: str) -> TrainConfig:
        """Returns the settings of the training that answers for a method, on the base half.

        Raises:
            UserError: for a method that is not in the lab, or settings that cannot be.
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
            learning_rate=LEARNING_RATE,
            schedule="constant",
            warmup_epochs=0,
            epochs=self.epochs,
            save_every=1,
        )


@dataclass(frozen=True)
class LabRun:
    """A training epoch by epoch, on test images of the base and of the new half.

    Test accuracies by epoch are for looking at: nothing is chosen by them.
    """

    count: Tensor = field(repr=False)
    """(epochs + 1, halves, bins): images by top probability; whole numbers."""
    right: Tensor = field(repr=False)
    """(epochs + 1, halves, bins): those of them that are told right."""
    confidence: Tensor = field(repr=False)
    """(epochs + 1, halves, bins): the sum of their top probabilities."""
    train: Tensor = field(repr=False)
    """(epochs + 1,): percent right of the training images while training; NaN before it."""
    cosine: Tensor = field(repr=False)
    """(epochs + 1, halves): mean cosine of soft features to their own prototypes."""
    routing: Tensor = field(repr=False)
    """(halves, 7): `ROUTING` in percent after the last epoch; NaN with one expert."""

    @property
    def epochs(self) -> int:
        """How many epochs it was trained."""
        return len(self.count) - 1

    def accuracy(self, half: str) -> Tensor:
        """Returns (epochs + 1,) in percent; epoch 0 is before training."""
        place = HALVES.index(half)
        return 100.0 * self.right[:, place].double().sum(-1) / self._images(place)

    def calibration_error(self, half: str) -> Tensor:
        """Returns the expected calibration error (epochs + 1,) in percent."""
        place = HALVES.index(half)
        gaps = (self.right[:, place].double() - self.confidence[:, place].double()).abs()
        return 100.0 * gaps.sum(-1) / self._images(place)

    def drift(self, half: str) -> Tensor:
        """Returns 1 - cosine of soft features to their own prototypes, (epochs + 1,)."""
        return 1.0 - self.cosine[:, HALVES.index(half)].double()

    def routing_of(self, half: str) -> dict[str, float]:
        """Returns what ways to choose experts reach, in percent; empty with one expert."""
        values = self.routing[HALVES.index(half)].tolist()
        found = dict(zip(ROUTING, values, strict=True))
        return {} if found["router"] != found["router"] else found

    def _images(self, place: int) -> Tensor:
        return self.count[:, place].double().sum(-1)


def measure(run: Run, dataset: Dataset, backbone: Backbone) -> LabRun:
    """Returns what a run of the lab's reached after every epoch.

    Args:
        run: a finished run of `LabSettings.config`, which kept every epoch.
        dataset: what it was trained on.
        backbone: the CLIP it was trained with.

    Raises:
        UserError: for a run of another kind, or data or weights that changed since.
    """
    setup = run.setup()
    check_same_data(run, setup, dataset, backbone)
    if setup.config.classes != "base" or setup.config.tune_layer_norms:
        raise UserError(f"Run {run.path} is none of the lab's: it was not trained on the half.")
    saved = run.features()
    if list(saved.soft) != list(range(setup.config.epochs + 1)):
        raise UserError(f"Run {run.path} did not keep every epoch. Train it with save_every 1.")
    last = open_classifier(run, loaded=backbone)
    if not isinstance(last, MixtureClassifier) or (len(last.experts) > 1 and not saved.gates):
        raise UserError(f"Run {run.path} did not keep its router by epoch. Train it again.")
    pictures = {half: _test_images(dataset, FeatureCache(backbone), half) for half in HALVES}
    tables = []
    for epoch, soft in saved.soft.items():
        gate = load_gate(saved.gates.get(epoch, {}))
        then = replace(last, soft=soft, gate=gate)
        tables.append([_bins(then, half, *pictures[half]) for half in HALVES])
    stacked = torch.tensor(tables, dtype=torch.float64)  # (epochs + 1, halves, bins, 3)
    labels = [list(class_range(half, len(setup.class_names))) for half in HALVES]
    cosines = [
        [(soft * saved.prototypes).sum(-1)[:, kept].mean().item() for kept in labels]
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
    """Returns features (images, dim) and labels (images,) of a half's test images, from 0."""
    labels = class_range(half, len(dataset.class_names))
    items = dataset.items("test", labels)
    features = cache.features(dataset, items)[:, 0]
    return features, torch.tensor([item.label - labels.start for item in items])


def _bins(
    classifier: Classifier, half: str, features: Tensor, labels: Tensor
) -> list[tuple[float, float, float]]:
    """Returns (images, right, summed confidence) of every bin of one half."""
    known = class_range(half, len(classifier.class_names))
    routed = classifier.subset(known).classify(features)
    return [
        (bin.count, bin.count * (bin.accuracy or 0.0), bin.count * (bin.mean_confidence or 0.0))
        for bin in reliability_table(routed.probabilities, labels, BINS)
    ]


def _routing(run: Run, half: str) -> list[float]:
    value = run.results()[half].get("routing_value")
    return [_number(None if value is None else value[name]) for name in ROUTING]


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
