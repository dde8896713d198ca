"""The numbers of an earlier page of results, kept for tasks whose runs are no longer there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mocoop.evaluation.measure_table import HALVES
from mocoop.protocols.plans import Task
from mocoop.results.rows import Row

OF_HALVES = (*HALVES, "HM")


class Kept:
    """Looks up the rows of tasks among those of an earlier page.

    Args:
        rows: every row of the earlier page.
        labels: what the rows call each data set (`labels_of` all tasks).
    """

    def __init__(self, rows: Sequence[Row], labels: Mapping[str, str]) -> None:
        self._labels = labels
        self._rows: dict[tuple[object, ...], list[Row]] = {}
        for row in rows:
            # In an ablation, few-shot and base-to-new runs have the same label.
            half = row.measure.rpartition(", ")[2] in OF_HALVES
            key = row.protocol, row.data, row.method, row.shots, row.style, half, row.seed
            self._rows.setdefault(key, []).append(row)

    def of(self, task: Task) -> list[Row]:
        """Returns the rows of a task; none unless there are some of each seed and each target."""
        config, label = task.config, task.label
        data, half = self._labels[config.data], config.classes == "base"
        same = task.protocol, data, label, task.shots, config.style, half
        targets = {self._labels[target] for target in task.targets}
        found = [self._rows.get((*same, seed), []) for seed in task.seeds]
        if all(rows and targets <= {row.target for row in rows} for rows in found):
            return [row for rows in found for row in rows]
        return []
