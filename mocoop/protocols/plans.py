"""The field's protocols: which runs they need, and what must be there before any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mocoop.config import TrainConfig
from mocoop.datasets import Dataset, load_dataset
from mocoop.datasets.base import check_training
from mocoop.datasets.splits import base_size
from mocoop.errors import UserError, choose_from
from mocoop.methods import METHODS, find_method
from mocoop.presets import preset

PROTOCOLS = ("few-shot", "base-to-new", "domain-generalization", "cross-dataset")


@dataclass(frozen=True)
class Plan:
    """What is asked: a protocol over data sets, methods, shots and seeds."""

    protocol: str
    data: tuple[str, ...]
    """Data sets to train on; in cross-dataset the first is trained on, the others tested on."""
    methods: tuple[str, ...]
    shots: tuple[int, ...] = (16,)
    seeds: tuple[int, ...] = (1, 2, 3)
    backbone: str = "demo"
    style: str = "photo"
    """Domain generalisation within a data set: train on this style, test on every other."""
    targets: tuple[str, ...] = ()
    """Domain generalisation across data sets: test on these, with their own class names."""

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise choose_from("protocol", self.protocol, PROTOCOLS)
        for method in self.methods:
            find_method(method)
        for name in ("data", "methods", "shots", "seeds"):
            if not getattr(self, name):
                raise UserError(f"{name} is empty: name at least one.")
        if self.protocol == "cross-dataset" and len(self.data) < 2:
            raise UserError(
                "cross-dataset trains on the first data set and tests on the others: name at "
                "least two."
            )


@dataclass(frozen=True)
class Task:
    """One run of a protocol and what is told of it."""

    protocol: str
    label: str
    """The method's name in the tables, or the variant's."""
    config: TrainConfig
    shots: int
    """As told: 0 for methods without training."""
    seeds: tuple[int, ...]
    """Seeds that the run stands for."""
    targets: tuple[str, ...] = ()
    """Other data sets that it is tested on."""


def tasks(plan: Plan) -> list[Task]:
    """Returns all runs of a plan, in the order of its tables.

    Raises:
        UserError: for data without what the protocol needs, saying what would run.
    """
    check(plan)
    trained_on = plan.data[:1] if plan.protocol == "cross-dataset" else plan.data
    targets = plan.data[1:] if plan.protocol == "cross-dataset" else plan.targets
    found = []
    for data in trained_on:
        for method in plan.methods:
            config = replace(
                preset(method, plan.backbone),
                data=data,
                classes="base" if plan.protocol == "base-to-new" else "all",
                style=plan.style if _by_style(plan) else "",
            )
            for shots, seeds, told in _draws(plan, method):
                one = replace(config, shots=shots, seed=seeds[0])
                found.append(Task(plan.protocol, method, one, told, seeds, targets))
    return found


def check(plan: Plan) -> None:
    """Raises UserError if data lack what the protocol needs; nothing is trained before."""
    for name in dict.fromkeys(plan.data):
        dataset = load_dataset(name)
        if not dataset.items("test"):
            raise UserError(f"{name} has no test images. Add a folder test/ to it.")
        last_choice = plan.protocol == "cross-dataset" and name != plan.data[0]
        if not last_choice:
            _check_training(plan, dataset)
    if plan.protocol == "cross-dataset" or plan.targets:
        own = [method for method in plan.methods if METHODS[method].own_classes_only]
        if own:
            raise UserError(
                f"{own[0]} knows only the classes that it was trained on, so that it cannot be "
                f"tested on other data sets. Would run: {_without(plan.methods, own)}."
            )
    for target in plan.targets:
        load_dataset(target)


def _check_training(plan: Plan, dataset: Dataset) -> None:
    """Raises UserError unless the data set's training images suffice."""
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
            known = ", ".join(dataset.styles) or "none: its images' styles are not known"
            raise UserError(
                f"domain-generalization trains {dataset.name} on images of the style "
                f"{plan.style!r}; its styles are {known}. Name one with --style, or other data "
                "sets with --targets."
            )
        train = tuple(item for item in train if item.style == plan.style)
    most = max(Counter(item.label for item in train).values(), default=0)
    trained = [m for m in plan.methods if METHODS[m].needs_images]
    too_many = [shots for shots in plan.shots if shots > most]
    if trained and too_many:
        where = f" of the style {plan.style!r}" if _by_style(plan) else ""
        would = [shots for shots in plan.shots if shots <= most] or [most]
        raise UserError(
            f"{too_many[0]} shots are asked for, but no class of {dataset.name} has more than "
            f"{most} training images{where}. Would run: --shots {' '.join(map(str, would))}."
        )
    val = [
        item for item in dataset.items("val") if not _by_style(plan) or item.style == plan.style
    ]
    unfit = [method for method in plan.methods if METHODS[method].needs_validation]
    if unfit and not val:
        raise UserError(
            f"{unfit[0]} chooses its regularisation on validation images, and {dataset.name} "
            f"has none. Would run: {_without(plan.methods, unfit)}, or add a folder val/."
        )


def _draws(plan: Plan, method: str) -> Iterator[tuple[int, tuple[int, ...], int]]:
    """Yields shots, the seeds that one run stands for, and the shots as told."""
    if not METHODS[method].needs_images:
        yield min(plan.shots), plan.seeds, 0
        return
    for shots in plan.shots:
        for seed in plan.seeds:
            yield shots, (seed,), shots


def _by_style(plan: Plan) -> bool:
    return plan.protocol == "domain-generalization" and not plan.targets


def _without(methods: Sequence[str], left_out: Sequence[str]) -> str:
    kept = [method for method in methods if method not in left_out]
    return f"--methods {' '.join(kept)}" if kept else "any prompt method, such as mocoop"
