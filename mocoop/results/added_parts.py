"""What a part of a method adds: differences of two methods, paired by seed, over all data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mocoop.results.cells import (
    Block,
    Line,
    Series,
    Table,
    difference,
    harmonic_series,
    mean_cell,
    seedwise_mean,
)
from mocoop.results.rows import ResultIndex, Row

COLUMNS = ("few-shot", "base", "new", "HM")


@dataclass(frozen=True)
class Addition:
    """A part, and the two methods whose difference shows what it adds."""

    part: str
    """What is added, and to what."""
    method: str
    """The method that has it."""
    without: str
    """The method without it."""


def added_parts(rows: Sequence[Row], additions: Sequence[Addition], shots: int) -> Table:
    """Returns the table of additions × (few-shot, base, new, HM), averaged over the data sets.

    Args:
        rows: results of any protocols; those of few-shot and base-to-new count.
        additions: the parts.
        shots: training images per class.

    Raises:
        UserError: if there are no such results, or a result appears twice.
    """
    few = ResultIndex(rows, "few-shot", ("accuracy",))
    halves = ResultIndex(rows, "base-to-new", ("base", "new"))

    def by_seed(method: str) -> list[Series]:
        seen = few.parts(few.data, method, shots, "accuracy")
        base, new = (halves.parts(halves.data, method, shots, name) for name in ("base", "new"))
        series = [seedwise_mean(part) if all(part) else {} for part in (seen, base, new)]
        return [*series, harmonic_series(base, new) if all(base) and all(new) else {}]

    lines = []
    for one in additions:
        pairs = zip(by_seed(one.method), by_seed(one.without), strict=True)
        cells = tuple(mean_cell([difference(*pair)], signed=True) for pair in pairs)
        lines.append(Line((one.part, one.method, one.without), cells))
    notes = (
        f"{shots} shots, averages over {len(few.data)} data sets few-shot and {len(halves.data)} "
        "base-to-new. Each number is the mean "
        "difference of the two methods ± its sample standard deviation (n − 1) over the seeds: "
        "positive where the method with the part is better."
    )
    heads = ("what is added", "with it", "without it")
    return Table(
        "added-parts", "What a part adds, in points", notes, heads, COLUMNS, (Block(tuple(lines)),)
    )
