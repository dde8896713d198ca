"""Compares recipes on validation images only; test images are never used."""

from __future__ import annotations

import itertools
import statistics
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from mocoop.classifiers.assemble import classifier_of_fit, classifier_of_model
from mocoop.classifiers.base import Classifier, accuracy_of
from mocoop.classifiers.prompts import learned_state
from mocoop.clip.device import tower_dtype
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache
from mocoop.methods import METHODS, find_method
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import group_prototypes, hard_features
from mocoop.model.vision_prompts import tuned_backbone
from mocoop.presets import preset, settings_from
from mocoop.protocols.plans import check_epochs, with_epochs
from mocoop.shots import shots_value
from mocoop.storage.engines import Engine
from mocoop.training.baselines import fit_baseline, fitted
from mocoop.training.expert_choice import choose_experts
from mocoop.training.length_search import SearchOptimizer, SearchResult, search_lengths
from mocoop.training.loop import fit
from mocoop.training.prepare import Prepared, prepare, training_data

_OPTIONS = {"data": "--data", "shots": "--shots", "seed": "--seeds", "backbone": "--backbone"}
"""Settings that are options of the whole comparison."""


@dataclass(frozen=True)
class Candidate:
    """A recipe and its accuracies on validation images, in percent."""

    changes: dict[str, Any]
    """The settings that differ from the method's preset."""
    accuracies: dict[str, float]
    """`data, shots, seed` → accuracy on the whole validation split."""

    @property
    def mean(self) -> float:
        """The mean accuracy over data sets, shots and seeds."""
        return statistics.fmean(self.accuracies.values())


def tune(
    method: str,
    grid: Mapping[str, Sequence[str]],
    data: Sequence[str],
    shots: Sequence[int],
    seeds: Sequence[int],
    backbone: str = "demo",
    epochs: int | None = None,
    engine: Engine | None = None,
) -> Iterator[Candidate]:
    """Yields every combination of a grid of settings with its validation accuracies.

    A combination is yielded when all its trainings are done, whatever order they end in.

    Accuracy is measured on the whole validation split, not only on the few-shot validation
    images. One recipe is chosen for all data sets and shots, and a few images per class are too
    few for this choice.

    Args:
        method: the method whose preset is the starting point.
        grid: setting → the values to try, as texts.
        data: data sets.
        shots: training images per class.
        seeds: seeds of the few-shot selections.
        backbone: the frozen CLIP.
        epochs: of every training; the method's own number if None.
        engine: where the trainings run; one after the other in this process if None.

    Raises:
        UserError: for an unknown setting or value, a setting whose values cannot be compared,
            epochs below 1, data without validation images, or a method that is not trained in
            epochs.
    """
    if not find_method(method).learns_in_epochs:
        raise UserError(
            f"{method} is not trained in epochs, and it chooses its few settings by itself. Tune "
            "a method that is trained."
        )
    check_epochs(epochs)
    if epochs is not None and "epochs" in grid:
        raise UserError("The grid has values for epochs already: leave --epochs out.")
    _check_grid(grid)
    start = with_epochs(preset(method, backbone), epochs)
    values = [[_value(start, name, text) for text in texts] for name, texts in grid.items()]
    combinations = [dict(zip(grid, found, strict=True)) for found in itertools.product(*values)]
    places = list(itertools.product(data, shots, seeds))
    names = [f"{name}, {shots_value(count)}, {seed}" for name, count, seed in places]
    configs = [
        replace(settings_from(start.to_dict() | changes), data=name, shots=count, seed=seed)
        for changes in combinations
        for name, count, seed in places
    ]
    words = [f"{changes}, {name}" for changes in combinations for name in names]
    accuracies: list[dict[str, float]] = [{} for _ in combinations]
    jobs = [(config,) for config in configs]
    for index, accuracy in (engine or Engine()).map(validation_accuracy, jobs, words):
        combination, place = divmod(index, len(places))
        accuracies[combination][names[place]] = accuracy
        if len(accuracies[combination]) == len(places):
            ordered = {name: accuracies[combination][name] for name in names}
            yield Candidate(combinations[combination], ordered)


def validation_accuracy(config: TrainConfig) -> float:
    """Returns a trained model's accuracy on the whole validation split, in percent.

    Raises:
        UserError: for data without validation images, or whose validation images are test images
            (ImageNet), or settings that do not fit.
    """
    prepared = prepare(config)
    dataset = prepared.dataset
    items = dataset.items("val", prepared.trained)
    if not items:
        raise UserError(
            f"{dataset.name} has no validation images for choosing a recipe. Add a folder val/."
        )
    if dataset.val_is_test:
        raise UserError(
            f"The validation images of {dataset.name} are its test images: a recipe chosen on "
            "them would be chosen on the test. Choose it on another data set."
        )
    classifier, cache = _trained(prepared)
    features = cache.features(dataset, items)[:, 0]
    labels = torch.tensor([item.label for item in items])
    return accuracy_of(
        classifier.subset(prepared.trained).classify(features).probabilities, labels
    )


def _trained(prepared: Prepared) -> tuple[Classifier, FeatureCache]:
    """Returns a trained classifier, and the features of the images as it sees them."""
    backbone = prepared.backbone
    precision = tower_dtype(prepared.config.precision, backbone.device)
    cache = FeatureCache(backbone, precision=precision)
    if prepared.config.num_experts == "auto" and prepared.config.epochs:
        prepared, _ = choose_experts(prepared, cache)
    config = prepared.config
    hard = hard_features(backbone.text, prepared.groups, prepared.dataset.class_names)
    if METHODS[config.method].fits_image_features:
        weights, _ = fitted(fit_baseline(prepared, hard[0][0].cpu(), cache))
        return classifier_of_fit(prepared.setup(), weights), cache
    generator = torch.Generator().manual_seed(config.seed)
    model = build_model(config, backbone, prepared.groups, generator, len(prepared.trained))
    training = training_data(prepared, hard, group_prototypes(hard), cache)
    if config.searches_lengths:
        search = SearchOptimizer(model, config)
        deque(search_lengths(model, backbone.text, training, config, generator, search), maxlen=0)
        chosen = SearchResult.from_model(model).settings(config)
        model = build_model(chosen, backbone, prepared.groups, generator, len(prepared.trained))
    for _ in fit(model, backbone.text, training, config, generator):
        pass
    if config.tunes_images:
        tuned = tuned_backbone(backbone, config, learned_state(model))
        cache = FeatureCache(tuned, keep=False, precision=precision)
    return classifier_of_model(prepared.setup(), model, backbone.text), cache


def _check_grid(grid: Mapping[str, Sequence[str]]) -> None:
    """Raises UserError for a grid whose combinations cannot be compared with each other."""
    for name, texts in grid.items():
        if name in _OPTIONS:
            raise UserError(f"{name} is no setting to compare: give it with {_OPTIONS[name]}.")
        if name == "method":
            raise UserError(
                "Every method has a preset of its own, so that methods are tuned one by one: "
                "mocoop tune lasp --grid ..."
            )
        if name in ("classes", "style"):
            raise UserError(
                f"{name} decides which images are used, so that its values cannot be compared: "
                "the easiest images would win. Leave it out."
            )
        if name == "groups":
            raise UserError(
                "Groups of templates cannot be written in a grid. Compare them with "
                "`mocoop data compare`."
            )
        if len(set(texts)) < len(texts):
            raise UserError(f"{name} has the same value twice: {', '.join(texts)}.")


def _value(start: TrainConfig, name: str, text: str) -> Any:
    """Returns a setting's value from a text, in the setting's type."""
    if not hasattr(start, name):
        settings_from({name: text})  # raises an error that lists all settings
    kind = type(getattr(start, name))
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is tuple:
            return tuple(int(part) for part in text.replace(",", " ").split())
        return kind(text)
    except (ValueError, KeyError) as error:
        raise UserError(f"{name} takes {kind.__name__} values; got {text!r}.") from error
