"""The results of a finished run in each protocol, as rows of a result table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mocoop.datasets import dataset_labels
from mocoop.evaluation.measure_table import HALVES, Section, find_measure, in_section, of_half
from mocoop.evaluation.transfer_files import saved_evaluation
from mocoop.presets import names_all_classes
from mocoop.protocols.plans import Task
from mocoop.results.rows import Row
from mocoop.runs.chosen_on_test import chosen_on_test, shares_images
from mocoop.runs.run import Run


def rows_of(task: Task, run: Run, labels: Mapping[str, str] | None = None) -> list[Row]:
    """Returns the results of a task's run, one row for each number and seed.

    Few-shot: accuracy and the measures beyond it. Base-to-new: base, new and HM.
    Domain generalisation: the accuracy on every style, or on every target data set.
    Cross-dataset: the accuracy on the source and on every target.

    Args:
        task: the task.
        run: its finished run, tested on all of the task's targets.
        labels: what the rows call each data set (`dataset_labels` of all that are shown
            together); those of this task alone if None.
    """
    results, config = run.results(), task.config
    labels = labels or labels_of([task])
    data = labels[config.data]
    numbers: list[tuple[str, str, float]] = []  # target, measure, value
    if config.classes == "base":
        numbers += [(data, c, results[c]["accuracy"]) for c in HALVES if c in results]
        if "harmonic_mean" in results:
            numbers.append((data, "HM", results["harmonic_mean"]))
        numbers += [
            (data, of_half(name, half), value)
            for half in HALVES
            if half in results
            for name, value in _measured(results[half], by_half=True)
        ]
    elif task.protocol == "domain-generalization" and not task.targets:
        # The source is the style of the training images; its row has the data set's name as
        # target, and all rows have the style.
        styles = results["all"]["per_style"]
        if config.style in styles:  # there are test images of it
            numbers.append((data, "accuracy", styles[config.style]))
        numbers += [
            (style, "accuracy", value) for style, value in styles.items() if style != config.style
        ]
    else:
        numbers.append((data, "accuracy", results["all"]["accuracy"]))
        for target in task.targets:
            on_target = saved_evaluation(run, target)
            assert on_target is not None, "run_tasks tests a run on all of its task's targets"
            numbers.append((labels[target], "accuracy", on_target["accuracy"]))
    if task.protocol in ("few-shot", "ablation") and config.classes == "all":
        numbers += [(data, name, value) for name, value in _measured(results["all"])]
        numbers += [(data, name, value) for name, value in _measured(results, ("run",))]
    elsewhere = {labels[target] for target in task.targets} - {data}
    shared, chosen = shares_images(config, results), chosen_on_test(config, results)

    def marked(target: str, measure: str) -> bool:
        if measure == "new" or measure.endswith(", new"):  # chosen on images of the base half
            return False
        known = find_measure(measure)
        by_method = bool(chosen) and known.section != "run"
        return target not in elsewhere and (by_method or (shared and known.chosen))

    return [
        Row(
            task.protocol,
            data,
            target,
            task.label,
            task.shots,
            seed,
            measure,
            value,
            marked(target, measure),
            names_all_classes(config),
            config.style,
        )
        for target, measure, value in numbers
        for seed in task.seeds
    ]


def labels_of(tasks: Iterable[Task]) -> dict[str, str]:
    """Returns what tables call the data sets of tasks and their targets."""
    return dataset_labels(name for task in tasks for name in (task.config.data, *task.targets))


def time_spent(runs: Iterable[Run]) -> tuple[int, float, float]:
    """Returns the number of distinct runs, their total time and their median time, in seconds.

    The time of a run is from its start to its end, with the evaluation.
    """
    spent = {}
    for run in runs:
        status = run.status()
        spent[run.path] = status.updated - status.started
    values = list(spent.values())
    return len(values), math.fsum(values), statistics.median(values) if values else 0.0


def _measured(
    results: Mapping[str, Any],
    sections: Sequence[Section] = ("beyond accuracy", "routing"),
    by_half: bool = False,
) -> Iterator[tuple[str, float]]:
    """Yields name and value of the measures that a run has.

    Args:
        results: the run's results on some classes; for the section `run`, all its results.
        sections: the sections of the measures.
        by_half: whether to yield only measures that are reported for halves of the classes.
    """
    for section in sections:
        for measure in in_section(section):
            value = measure.read(results) if measure.by_half or not by_half else None
            if value is not None:
                yield measure.name, value
