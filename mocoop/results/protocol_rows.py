"""What a finished run says in each protocol, as rows of a result table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from mocoop.datasets import dataset_name
from mocoop.evaluation.transfer import saved_transfer
from mocoop.protocols.plans import Task
from mocoop.results.rows import Row
from mocoop.runs.run import Run


def rows_of(task: Task, run: Run) -> list[Row]:
    """Returns the numbers of a task's run, one row each.

    Few-shot: accuracy and the measures beyond it. Base-to-new: base, new and HM.
    Domain generalisation: the accuracy on every style, or on every target data set;
    cross-dataset: on the source and on every target.
    """
    results, config = run.results(), task.config
    data = dataset_name(config.data)
    found: list[tuple[str, str, float]] = []  # target, measure, value
    if config.classes == "base":
        found += [(data, c, results[c]["accuracy"]) for c in ("base", "new") if c in results]
        if "harmonic_mean" in results:
            found.append((data, "HM", results["harmonic_mean"]))
        found += [
            (data, f"calibration error, {c}", results[c]["calibration_error"])
            for c in ("base", "new")
            if c in results
        ]
    elif task.protocol == "domain-generalization" and not task.targets:
        # The source is the style that was trained on, under the data set's own name.
        styles = results["all"]["per_style"]
        found.append((data, "accuracy", styles[config.style]))
        found += [
            (style, "accuracy", value) for style, value in styles.items() if style != config.style
        ]
    else:
        found.append((data, "accuracy", results["all"]["accuracy"]))
        for target in map(dataset_name, task.targets):
            there = saved_transfer(run, target)
            assert there is not None, "run_tasks tests a run on all of its task's targets"
            found.append((target, "accuracy", there["accuracy"]))
    if task.protocol in ("few-shot", "ablation") and config.classes == "all":
        found += [(data, name, value) for name, value in _beyond(results["all"])]
        found.append((data, "training seconds", results["training_seconds"]))
    return [
        Row(task.protocol, data, target, task.label, task.shots, seed, measure, value)
        for target, measure, value in found
        for seed in task.seeds
    ]


def _beyond(results: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yields the measures beyond accuracy that a run has."""
    yield "calibration error", results["calibration_error"]
    if results["style_nmi"] is not None:
        yield "style NMI", results["style_nmi"]
    if results["routing"]:
        yield "routing entropy", results["routing"]["entropy_share"]
        yield "routing load balance", results["routing"]["load_balance"]
    if results["agreement"]:
        yield "guide agreement, first", results["agreement"]["first"]
        yield "guide agreement, chosen", results["agreement"]["overlap"]
    if "routing_value" in results:
        value = results["routing_value"]
        yield "router", value["router"]
        yield "uniform mixture", value["uniform"]
        yield "random expert", value["random"]
        yield "best single expert", value["best_single"]
        yield "oracle", value["oracle"]


def time_spent(runs: Iterable[Run]) -> tuple[int, float, float]:
    """Returns the number of different runs, their summed time, and the median, in seconds.

    The time is from a run's start to its end, evaluation included.
    """
    spent = {}
    for run in runs:
        status = run.status()
        spent[run.path] = status.updated - status.started
    values = list(spent.values())
    return len(values), math.fsum(values), statistics.median(values) if values else 0.0
