"""Means over seeds, and the frozen dataclasses of the tables that show them."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from mocoop.evaluation.measures import harmonic_mean

Series = Mapping[int, float]
"""Seed → value, for one measure of one method on one data set."""
T = TypeVar("T")


@dataclass(frozen=True)
class Cell:
    """One number of a table with its standard deviation; a dash if there is no number."""

    mean: float | None = None
    """The number; None if there is none."""
    std: float | None = None
    """Sample standard deviation over seeds (n - 1); None with fewer than two seeds. CoOp's script
    prints the population one (n), which is smaller."""
    seeds: int = 0
    """Number of seeds behind the mean."""
    note: str = ""
    """Text shown in parentheses after the number."""
    digits: int = 1
    """Decimals shown."""
    signed: bool = False
    """Whether it is a difference, which is shown with its sign."""
    bold: bool = False
    """Whether it is among the best of its column."""


@dataclass(frozen=True)
class Line:
    """A row of a table: its labels, then its numbers."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Block:
    """Lines that belong together, with or without a title."""

    lines: tuple[Line, ...]
    title: str = ""


@dataclass(frozen=True)
class Table:
    """A table that can be shown as Markdown or LaTeX."""

    name: str
    """Short unique name for references to the table, such as few-shot-average."""
    title: str
    notes: str
    """Sentences that explain how to read the table."""
    heads: tuple[str, ...]
    """Headers of the label columns."""
    columns: tuple[str, ...]
    """Headers of the number columns."""
    blocks: tuple[Block, ...]
    measure: str = ""
    """The measure shown; empty if the table shows several."""
    data: tuple[str, ...] = ()
    """The data sets of the numbers; with several data sets, the numbers are averages."""
    mean_last: bool = False
    """Whether the last column is the mean of all others."""


def table_name(text: str) -> str:
    """Returns a table's name from its title: small letters and digits of any script, hyphens."""
    return re.sub(r"[\W_]+", "-", text.lower()).strip("-")


def first_seen(values: Iterable[T]) -> tuple[T, ...]:
    """Returns the distinct values in order of first appearance."""
    return tuple(dict.fromkeys(values))


def seedwise_mean(parts: Sequence[Series]) -> dict[int, float]:
    """Returns seed → mean over parts, for the seeds that all parts have.

    >>> seedwise_mean([{1: 80.0, 2: 90.0}, {1: 60.0, 3: 50.0}])
    {1: 70.0}
    """
    if not parts:
        return {}
    common = [seed for seed in parts[0] if all(seed in part for part in parts)]
    return {seed: statistics.fmean(part[seed] for part in parts) for seed in common}


def harmonic_series(base: Sequence[Series], new: Sequence[Series]) -> dict[int, float]:
    """Returns seed → HM of mean base and mean new accuracy, for the seeds that all parts have."""
    means, new_means = seedwise_mean(base), seedwise_mean(new)
    return {
        seed: harmonic_mean(mean, new_means[seed])
        for seed, mean in means.items()
        if seed in new_means
    }


def difference(series: Series, reference: Series) -> dict[int, float]:
    """Returns seed → series minus reference, for the seeds that both have."""
    return {seed: value - reference[seed] for seed, value in series.items() if seed in reference}


def mean_cell(parts: Sequence[Series], signed: bool = False) -> Cell:
    """Returns the average over parts: mean and standard deviation over their common seeds.

    If all parts have the same seeds, the mean equals the mean of the parts' means. If a part
    is missing, the cell has no number, because it could not be compared with complete averages.
    """
    present = sum(bool(part) for part in parts)
    if present < len(parts) or not parts:
        return _incomplete(present, len(parts))
    values = list(seedwise_mean(parts).values())
    if not values:
        return Cell(note="no common seed")
    std = statistics.stdev(values) if len(values) > 1 else None
    return Cell(statistics.fmean(values), std, len(values), signed=signed)


def harmonic_cell(base: Sequence[Series], new: Sequence[Series]) -> Cell:
    """Returns the HM of mean base and mean new accuracy: mean and deviation over seeds."""
    present = sum(bool(one) and bool(other) for one, other in zip(base, new, strict=True))
    if present < len(base):
        return _incomplete(present, len(base))
    series = harmonic_series(base, new)
    return mean_cell([series]) if series else Cell(note="no common seed")


def with_best_in_bold(
    lines: Sequence[Line], seeds: int, digits: int = 1, direction: int = 1
) -> tuple[Line, ...]:
    """Returns the lines with the best of each column in bold and notes on missing seeds.

    Args:
        lines: lines with the same number of cells.
        seeds: number of seeds of a complete cell.
        digits: decimals to show.
        direction: 1 if higher is better, -1 if lower is better, 0 for no bold cells.
    """
    columns = [
        _bold_best([_with_note(cell, seeds, digits) for cell in column], direction)
        for column in zip(*(line.cells for line in lines), strict=True)
    ]
    cells = zip(*columns, strict=True)
    return tuple(replace(line, cells=row) for line, row in zip(lines, cells, strict=True))


def _incomplete(present: int, parts: int) -> Cell:
    """Returns a cell without a number that says how many parts there are."""
    return Cell(note=f"{present} of {parts}" if present else "")


def _with_note(cell: Cell, seeds: int, digits: int) -> Cell:
    note = cell.note
    if cell.mean is not None and cell.seeds < seeds:
        note = f"n={cell.seeds}"
    return replace(cell, note=note, digits=digits)


def _bold_best(column: Sequence[Cell], direction: int) -> list[Cell]:
    """Returns the column with its best cell in bold, or several cells if they look equal."""
    # Rounded values are compared: 80.04 and 80.01 are both shown as 80.0, so both are bold.
    shown = [
        None if cell.mean is None or cell.signed else direction * round(cell.mean, cell.digits)
        for cell in column
    ]
    numbers = [value for value in shown if value is not None]
    if direction == 0 or len(numbers) < 2:
        return list(column)
    best = max(numbers)
    return [replace(cell, bold=value == best) for cell, value in zip(column, shown, strict=True)]
