"""Compares recipes on validation images only; test images are never used."""

from __future__ import annotations

import itertools
import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from mocoop.classifiers.assemble import classifier_of_fit, classifier_of_model
from mocoop.classifiers.base import Classifier, accuracy_of
from mocoop.classifiers.prompts import learned_state
from mocoop.clip.device import tower_dtype
from mocoop.config import TrainConfig
from mocoop.datasets import absolute_source
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache
from mocoop.methods import METHODS, find_method
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import group_prototypes, hard_features
from mocoop.model.vision_prompts import tuned_backbone
from mocoop.presets import preset, settings_from
from mocoop.protocols.plans import check_different, check_epochs, with_epochs
from mocoop.shots import shots_value
from mocoop.storage.engines import Engine
from mocoop.training.baselines import fit_baseline, fitted
from mocoop.training.expert_choice import choose_experts
from mocoop.training.length_search import SearchOptimizer, SearchResult, search_lengths
from mocoop.training.loop import fit
from mocoop.training.prepare import Prepared, prepare, training_data

NOT_COMPARABLE = ("classes", "style", "validation")
"""Settings that change what an accuracy is measured on: fewer classes are easier, say."""
OPTIONS = ("data", "method", "backbone", "shots", "seed", "groups")
"""Settings that a grid of `tune` cannot vary: a method has a preset of its own."""


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
        method: the method whose preset, for each data set, is the starting point.
        grid: setting → the values to try, as texts.
        data: data sets.
        shots: training images per class.
        seeds: seeds of the few-shot selections.
        backbone: the frozen CLIP.
        epochs: of every training; the method's own number if None.
        engine: where the trainings run; one after the other in this process if None.

    Raises:
        UserError: for an unknown setting or value, one that cannot be compared or is given
            twice, epochs below 1, data without validation images, or a method that is not trained
            in epochs.
    """
    if not find_method(method).learns_in_epochs:
        raise UserError(
            f"{method} is not trained in epochs, and it chooses its few settings by itself. Tune "
            "a method that is trained."
        )
    check_epochs(epochs)
    if epochs is not None and "epochs" in grid:
        raise UserError("The grid has values for epochs already: leave --epochs out.")
    # A published recipe can differ between data sets.
    starts = {name: with_epochs(preset(method, backbone, name), epochs) for name in data}
    _check_grid(grid)
    kinds = preset(method, backbone)
    values = [[_value(kinds, name, text) for text in texts] for name, texts in grid.items()]
    for name, some in zip(grid, values, strict=True):
        check_different(name, some)
    for name, given in (("data", tuple(map(absolute_source, data))), ("seeds", seeds)):
        check_different(name, given)
    check_different("shots", tuple(map(shots_value, shots)))
    combinations = [dict(zip(grid, found, strict=True)) for found in itertools.product(*values)]
    places = list(itertools.product(data, shots, seeds))
    names = [f"{name}, {shots_value(count)}, {seed}" for name, count, seed in places]
    configs = [
        replace(
            settings_from(starts[name].to_dict() | changes),
            data=absolute_source(name),
            shots=count,
            seed=seed,
        )
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


def check_comparable(names: Iterable[str]) -> None:
    """Raises UserError for settings whose candidates have accuracies on different images."""
    for name in names:
        if name in NOT_COMPARABLE:
            raise UserError(
                f"{name} changes which classes or images count, so that the accuracies of the "
                "candidates could not be compared. Give all of them the same."
            )


def _check_grid(grid: Mapping[str, Sequence[str]]) -> None:
    """Raises UserError for settings that a grid cannot vary."""
    check_comparable(grid)
    for name in (name for name in OPTIONS if name in grid):
        raise UserError(
            f"The grid cannot vary {name}. Leave it out: data, shots, seeds and backbone are "
            "options of the command, each method is tuned on its own, and `mocoop data compare` "
            "compares groups."
        )


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


def _value(kinds: TrainConfig, name: str, text: str) -> Any:
    """Returns a setting's value from a text, in the setting's type."""
    if not hasattr(kinds, name):
        settings_from({name: text})  # raises an error that lists all settings
    kind = type(getattr(kinds, name))
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is tuple:
            return tuple(int(part) for part in text.replace(",", " ").split())
        return kind(text)
    except (ValueError, KeyError) as error:
        raise UserError(f"{name} takes {kind.__name__} values; got {text!r}.") from error
