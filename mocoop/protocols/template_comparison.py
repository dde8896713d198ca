"""Compares groups of templates that were made with those of people and with controls.

For every data set, seed and choice of classes the groups are made anew, from few-shot training
images of those classes alone, and a mixture is trained with each kind of groups.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mocoop.clip.backbone import Backbone
from mocoop.config import TrainConfig
from mocoop.datasets import absolute_source, dataset_labels, load_dataset
from mocoop.errors import choose_from
from mocoop.evaluation.evaluate import route_items
from mocoop.evaluation.transfer import classifier_for
from mocoop.features.cache import FeatureCache
from mocoop.presets import preset
from mocoop.protocols.plans import Plan, Task, check, with_epochs
from mocoop.protocols.reuse import Expectations
from mocoop.protocols.runner import finish
from mocoop.runs.run import Run
from mocoop.template_making.candidates import Candidate
from mocoop.template_making.controls import HAND, ONE
from mocoop.template_making.grouping import agreement
from mocoop.template_making.making import Classes, GroupingSettings, TemplateMaker
from mocoop.template_making.text_features import TextFeatures
from mocoop.templates import Groups

BY_IMAGES = "made by images"
BY_TEXTS = "made by texts"


def comparison_tasks(
    data: Sequence[str],
    candidates: Sequence[Candidate],
    backbone: Backbone,
    cache: FeatureCache,
    seeds: Sequence[int] = (1, 2, 3),
    shots: int = 16,
    method: str = "mocoop",
    epochs: int | None = None,
) -> list[Task]:
    """Returns the runs with every kind of groups, few-shot and base-to-new.

    Kinds: the hand-made groups, groups made by texts and by images, and the controls of those
    made by texts.

    Args:
        data: data sets that have hand-made groups.
        candidates: the templates that may be grouped.
        backbone: the frozen CLIP.
        cache: image features of the backbone.
        seeds: a grouping and a run of each kind per seed.
        shots: training images per class, for the groups and for the runs.
        method: the mixture that is trained.
        epochs: of every training; the method's own number if None.

    Raises:
        UserError: for data that the protocols cannot use.
    """
    for protocol in ("few-shot", "base-to-new"):
        check(Plan(protocol, tuple(data), (method,), (shots,), tuple(seeds), backbone.name))
    tasks = []
    for name in map(absolute_source, data):
        dataset = load_dataset(name)
        full = with_epochs(preset(method, backbone.name, name), epochs)
        texts: dict[Classes, TextFeatures | None] = {"all": None, "base": None}
        for seed in seeds:
            for classes, known in texts.items():
                settings = GroupingSettings(seed, shots, classes, "kmeans")
                maker = TemplateMaker(backbone, dataset, cache, settings, len(candidates), known)
                texts[classes] = maker.texts
                start = replace(full, shots=shots, seed=seed, classes=classes)
                tasks += [
                    Task("ablation", label, _with_groups(start, label, groups), shots, (seed,))
                    for label, groups in groups_by_kind(maker, candidates).items()
                ]
    return tasks


def of_kinds(tasks: Sequence[Task], kinds: Sequence[str]) -> list[Task]:
    """Returns the tasks of some kinds of groups; all of them if no kind is given.

    Raises:
        UserError: for an unknown kind.
    """
    known = list(dict.fromkeys(task.label for task in tasks))
    for kind in kinds:
        if kind not in known:
            raise choose_from("kind of groups", kind, known)
    return [task for task in tasks if not kinds or task.label in kinds]


def groups_by_kind(maker: TemplateMaker, candidates: Sequence[Candidate]) -> dict[str, Groups]:
    """Returns label → groups of templates, the hand-made ones first.

    Args:
        maker: makes groups, with its own method.
        candidates: the templates that may be grouped.
    """
    made = maker.group(maker.judge(candidates))
    by_images = maker.grouping_by("images")
    others = by_images.group(by_images.judge(candidates)).groups
    controls = {name: control.groups for name, control in made.controls.items()}
    hand = {HAND: controls.pop(HAND, maker.dataset.templates.groups)}
    return {**hand, BY_TEXTS: made.groups, BY_IMAGES: others, **controls}


def _with_groups(config: TrainConfig, label: str, groups: Groups) -> TrainConfig:
    """Returns settings with groups; those of the data set itself need none."""
    if label == HAND:
        return config
    return replace(config, groups=groups, num_chosen=1 if label == ONE else config.num_chosen)


def style_agreement(run: Run, backbone: Backbone, cache: FeatureCache) -> float | None:
    """Returns the adjusted Rand index of the test images' first experts and their true styles.

    None for a run with one expert, or images of which no style is known.
    """
    setup = run.setup()
    dataset = load_dataset(setup.config.data)
    if len(setup.groups) < 2 or not dataset.styles:
        return None
    found = route_items(classifier_for(run, setup, dataset, backbone), dataset, cache)
    known = [index for index, item in enumerate(found.items) if item.style]
    styles = np.array([str(found.items[index].style) for index in known])
    return agreement(styles, found.routed.weights.argmax(dim=1).numpy()[known])


def mean_agreements(
    tasks: Iterable[Task], root: Path, backbone: Backbone, cache: FeatureCache
) -> dict[tuple[str, str], float]:
    """Returns (label, data set) → mean of `style_agreement` over the few-shot runs' seeds.

    Args:
        tasks: from `comparison_tasks`; those whose runs are not finished are run.
        root: folder of the runs.
        backbone: the frozen CLIP.
        cache: image features of the backbone.
    """
    values: dict[tuple[str, str], list[float]] = {}
    tasks, known = list(tasks), Expectations()
    labels = dataset_labels(task.config.data for task in tasks)
    for task in tasks:
        if task.config.classes == "all":
            run = Run(finish(task.config, (), root, known.of(task.config)))
            value = style_agreement(run, backbone, cache)
            if value is not None:
                key = task.label, labels[task.config.data]
                values.setdefault(key, []).append(value)
    return {key: statistics.fmean(some) for key, some in values.items()}
