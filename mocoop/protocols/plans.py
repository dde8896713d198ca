"""The usual evaluation protocols: the runs of each, and checks of the data before they start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mocoop.config import TrainConfig
from mocoop.datasets import Dataset, absolute_source, load_dataset
from mocoop.datasets.base import check_training
from mocoop.datasets.splits import base_size, check_every_class
from mocoop.errors import UserError, choose_from
from mocoop.methods import METHODS, find_method
from mocoop.presets import (
    FEW_SHOT_RECIPE,
    few_shot_preset,
    follows_few_shot_recipe,
    preset,
)
from mocoop.shots import shots_order, shots_value

PROTOCOLS = ("few-shot", "base-to-new", "domain-generalization", "cross-dataset")


@dataclass(frozen=True)
class Plan:
    """A protocol with data sets, methods, shots and seeds."""

    protocol: str
    data: tuple[str, ...]
    """Data sets to train on. In cross-dataset, the first is for training, the others for tests.
    Paths are made absolute."""
    methods: tuple[str, ...]
    shots: tuple[int, ...] = (16,)
    seeds: tuple[int, ...] = (1, 2, 3)
    backbone: str = "demo"
    style: str = "photo"
    """Domain generalisation within a data set: train on this style, test on all others."""
    targets: tuple[str, ...] = ()
    """Domain generalisation across data sets: test on these, each with its own class names."""
    epochs: int | None = None
    """Epochs of the methods that learn in epochs; None for each method's own number."""

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise choose_from("protocol", self.protocol, PROTOCOLS)
        for method in self.methods:
            find_method(method)
        check_epochs(self.epochs)
        for name in ("data", "targets"):
            object.__setattr__(self, name, tuple(map(absolute_source, getattr(self, name))))
        for name in ("data", "methods", "shots", "seeds"):
            if not getattr(self, name):
                raise UserError(f"{name} is empty: give at least one value.")
        for name in ("data", "methods", "seeds", "targets"):
            check_different(name, getattr(self, name))
        check_different("shots", tuple(map(shots_value, self.shots)))
        same = [name for name in self.targets if name in self.data]
        if same:
            raise UserError(
                f"{same[0]} is among both data and targets: it is tested after its own training "
                "anyway. Leave it out of the targets."
            )
        if self.protocol == "cross-dataset" and len(self.data) < 2:
            raise UserError(
                "cross-dataset trains on the first data set and tests on the others: give at "
                "least two data sets."
            )


@dataclass(frozen=True)
class Task:
    """One run of a protocol, with its description in the tables."""

    protocol: str
    label: str
    """The name of the method or variant in the tables."""
    config: TrainConfig
    shots: int
    """The shots in the tables: 0 for methods that use no training images."""
    seeds: tuple[int, ...]
    """The seeds for which this run counts."""
    targets: tuple[str, ...] = ()
    """Other data sets on which the run is tested."""


def tasks(plan: Plan) -> list[Task]:
    """Returns all runs of a plan, in the order of its tables.

    Raises:
        UserError: for data that the protocol cannot use; the message says what would run.
    """
    check(plan)
    trained_on = plan.data[:1] if plan.protocol == "cross-dataset" else plan.data
    targets = plan.data[1:] if plan.protocol == "cross-dataset" else plan.targets
    result = []
    for data in trained_on:
        for method in plan.methods:
            for shots, seeds, reported_shots in _shots_and_seeds(plan, method):
                config, label = _recipe(plan, method, data, shots)
                run = replace(
                    config,
                    data=data,
                    shots=shots,
                    seed=seeds[0],
                    classes="base" if plan.protocol == "base-to-new" else "all",
                    style=plan.style if _by_style(plan) else "",
                )
                result.append(Task(plan.protocol, label, run, reported_shots, seeds, targets))
    return result


def check(plan: Plan) -> None:
    """Raises UserError if the data lack something that the protocol needs; trains nothing."""
    for name in dict.fromkeys(plan.data):
        dataset = load_dataset(name)
        if not dataset.items("test"):
            raise UserError(f"{name} has no test images. Add a folder test/ to it.")
        only_tested = plan.protocol == "cross-dataset" and name != plan.data[0]
        if not only_tested:
            _check_training(plan, dataset)
    if plan.protocol == "cross-dataset" or plan.targets:
        unfit = [method for method in plan.methods if METHODS[method].own_classes_only]
        if unfit:
            raise UserError(
                f"{unfit[0]} knows only the classes of the data set that it was trained on, so "
                "that it cannot be tested on other data sets. Would run: "
                f"{_without(plan.methods, unfit)}."
            )
    for target in plan.targets:
        if not load_dataset(target).items("test"):
            raise UserError(f"{target} has no test images. Add a folder test/ to it.")


def _check_training(plan: Plan, dataset: Dataset) -> None:
    """Raises UserError unless the data set has the training images that the plan needs."""
    check_training(dataset)
    num_classes = len(dataset.class_names)
    half = base_size(num_classes)
    if plan.protocol == "base-to-new" and num_classes - half < 2:
        raise UserError(
            f"base-to-new needs at least two base and two new classes; {dataset.name} has "
            f"{num_classes} classes, that is {half} base and {num_classes - half} new. Would run: "
            "few-shot."
        )
    train = dataset.items("train")
    if _by_style(plan):
        if plan.style not in dataset.styles:
            styles = (
                f"its styles are {', '.join(dataset.styles)}. Give one of them with --style, or"
                if dataset.styles
                else "the styles of its images are not known. Give"
            )
            raise UserError(
                f"domain-generalization trains {dataset.name} on images of the style "
                f"{plan.style!r}, but {styles} other data sets with --targets."
            )
        train = tuple(item for item in train if item.style == plan.style)
    most = max(Counter(item.label for item in train).values(), default=0)
    trained = [m for m in plan.methods if METHODS[m].needs_images]
    if trained:
        classes = range(half if plan.protocol == "base-to-new" else num_classes)
        check_every_class(dataset, classes, train, plan.style if _by_style(plan) else "")
    too_many = [shots for shots in plan.shots if shots > most]
    if trained and too_many:
        where = f" of the style {plan.style!r}" if _by_style(plan) else ""
        would = [shots for shots in plan.shots if shots <= most] or [most]
        raise UserError(
            f"{too_many[0]} shots are asked for, but no class of {dataset.name} has more than "
            f"{most} training images{where}. Would run: --shots "
            f"{' '.join(map(shots_value, would))}."
        )
    val = [
        item for item in dataset.items("val") if not _by_style(plan) or item.style == plan.style
    ]
    unfit = [method for method in plan.methods if METHODS[method].needs_validation]
    if unfit and not val:
        raise UserError(
            f"{unfit[0]} chooses {METHODS[unfit[0]].chooses} on validation images, and "
            f"{dataset.name} has none. Would run: {_without(plan.methods, unfit)}, or add a "
            "folder val/."
        )
    _check_groups(plan, dataset)


def _check_groups(plan: Plan, dataset: Dataset) -> None:
    """Raises UserError if a mixture chooses more experts than the data set has groups."""
    groups = len(dataset.templates.groups)
    chosen = {
        method: preset(method, plan.backbone, dataset.source).num_chosen
        for method in plan.methods
        if METHODS[method].is_mixture
    }
    unfit = [method for method, number in chosen.items() if number > groups]
    if unfit:
        raise UserError(
            f"{unfit[0]} chooses {chosen[unfit[0]]} experts for each image, one per group of "
            f"templates, and {dataset.name} has {groups}. Would run: "
            f"{_without(plan.methods, unfit)}, or add groups to its mocoop.yaml."
        )


def _recipe(plan: Plan, method: str, data: str, shots: int) -> tuple[TrainConfig, str]:
    """Returns a method's settings in a plan, and its label in the tables."""
    config = preset(method, plan.backbone, data)
    named: dict[str, object] = {}
    if plan.protocol == "few-shot":
        config = few_shot_preset(method, plan.backbone, data, shots)
        named = dict(FEW_SHOT_RECIPE) if follows_few_shot_recipe(config) else {}
    changed = with_epochs(config, plan.epochs)
    if changed != config:
        named["epochs"] = changed.epochs
    return changed, ", ".join((method, *(f"{name} {value}" for name, value in named.items())))


def check_different(name: str, values: Sequence[object]) -> None:
    """Raises UserError for a value that is given twice; data are compared by absolute path."""
    twice = [value for value, number in Counter(values).items() if number > 1]
    if twice:
        raise UserError(f"{name} has {twice[0]} twice: leave one of them out.")


def check_epochs(epochs: int | None) -> None:
    """Raises UserError for a number of epochs below 1; None stands for a method's own number."""
    if epochs is not None and epochs < 1:
        raise UserError(f"epochs must be at least 1; got {epochs}.")


def with_epochs(config: TrainConfig, epochs: int | None) -> TrainConfig:
    """Returns settings with another number of epochs, if the method learns in epochs."""
    if epochs is None or not METHODS[config.method].learns_in_epochs:
        return config
    return replace(config, epochs=epochs)


def _shots_and_seeds(plan: Plan, method: str) -> Iterator[tuple[int, tuple[int, ...], int]]:
    """Yields the shots of each run, the seeds for which it counts, and the shots in tables."""
    if not METHODS[method].needs_images:
        yield min(plan.shots, key=shots_order), plan.seeds, 0
        return
    for shots in plan.shots:
        for seed in plan.seeds:
            yield shots, (seed,), shots


def _by_style(plan: Plan) -> bool:
    """Returns whether the plan trains on one style of a data set and tests on the others."""
    return plan.protocol == "domain-generalization" and not plan.targets


def _without(methods: Sequence[str], left_out: Sequence[str]) -> str:
    """Returns the option --methods without some methods, as advice in an error message."""
    kept = [method for method in methods if method not in left_out]
    return f"--methods {' '.join(kept)}" if kept else "any prompt method, such as mocoop"
