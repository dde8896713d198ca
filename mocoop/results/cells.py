"""Means over seeds, and the small frozen tables that show them."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from mocoop.evaluation.measures import harmonic_mean

Series = Mapping[int, float]
"""Seed → value, of one thing that was measured."""
T = TypeVar("T")


@dataclass(frozen=True)
class Cell:
    """One number of a table, with its spread; without a number, a dash."""

    mean: float | None = None
    """What is shown first."""
    std: float | None = None
    """Sample standard deviation over seeds (n - 1); None with fewer than two. CoOp's script prints
    the smaller one of the population (n)."""
    seeds: int = 0
    """How many seeds they are of."""
    note: str = ""
    """Words in parentheses behind it."""
    digits: int = 1
    """Decimals shown."""
    signed: bool = False
    """A difference, shown with its sign."""
    bold: bool = False
    """Among the best of its column."""


@dataclass(frozen=True)
class Line:
    """A row of a table: what it is of, then its numbers."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Block:
    """Lines that belong together, under a title of their own or none."""

    lines: tuple[Line, ...]
    title: str = ""


@dataclass(frozen=True)
class Table:
    """A table ready to be shown as Markdown or LaTeX."""

    name: str
    """Short and unique, for references to the table: few-shot-average."""
    title: str
    notes: str
    """Sentences that say how to read it."""
    heads: tuple[str, ...]
    """Heads of the label columns."""
    columns: tuple[str, ...]
    """Heads of the number columns."""
    blocks: tuple[Block, ...]
    measure: str = ""
    """What it shows; empty where that is several things."""
    data: tuple[str, ...] = ()
    """The data sets that its numbers are of; of several, they are averages."""
    mean_last: bool = False
    """The last column is the mean of all others."""


def table_name(text: str) -> str:
    """Returns a table's name from its title: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def first_seen(values: Iterable[T]) -> tuple[T, ...]:
    """Returns the different values in order of first appearance."""
    return tuple(dict.fromkeys(values))


def seedwise_mean(parts: Sequence[Series]) -> dict[int, float]:
    """Returns the mean over parts for every seed that all parts have.

    >>> seedwise_mean([{1: 80.0, 2: 90.0}, {1: 60.0, 3: 50.0}])
    {1: 70.0}
    """
    if not parts:
        return {}
    common = [seed for seed in parts[0] if all(seed in part for part in parts)]
    return {seed: statistics.fmean(part[seed] for part in parts) for seed in common}


def harmonic_series(base: Sequence[Series], new: Sequence[Series]) -> dict[int, float]:
    """Returns, for every seed that all parts have, the HM of the mean base and the mean new."""
    means, new_means = seedwise_mean(base), seedwise_mean(new)
    return {
        seed: harmonic_mean(mean, new_means[seed])
        for seed, mean in means.items()
        if seed in new_means
    }


def difference(series: Series, reference: Series) -> dict[int, float]:
    """Returns series minus reference for every seed that both have."""
    return {seed: value - reference[seed] for seed, value in series.items() if seed in reference}


def mean_cell(parts: Sequence[Series], signed: bool = False) -> Cell:
    """Returns the average over parts: its mean and its spread over the seeds that all have.

    With the same seeds in all parts the mean is that of the parts' own means. An average that
    lacks a part is left out: beside complete ones it would mislead.
    """
    present = sum(bool(part) for part in parts)
    if present < len(parts) or not parts:
        return _lacking(present, len(parts))
    values = list(seedwise_mean(parts).values())
    if not values:
        return Cell(note="no common seed")
    std = statistics.stdev(values) if len(values) > 1 else None
    return Cell(statistics.fmean(values), std, len(values), signed=signed)


def harmonic_cell(base: Sequence[Series], new: Sequence[Series]) -> Cell:
    """Returns the HM of the mean base and the mean new accuracy, over seeds."""
    present = sum(bool(one) and bool(other) for one, other in zip(base, new, strict=True))
    if present < len(base):
        return _lacking(present, len(base))
    series = harmonic_series(base, new)
    return mean_cell([series]) if series else Cell(note="no common seed")


def finished(
    lines: Sequence[Line], seeds: int, digits: int = 1, direction: int = 1
) -> tuple[Line, ...]:
    """Returns the lines with decimals, notes on missing seeds, and each column's best in bold.

    Args:
        lines: as many cells in each.
        seeds: how many a complete cell has.
        digits: decimals.
        direction: 1 if more is better, -1 if less is, 0 for nothing in bold.
    """
    columns = [
        _with_best([_with_note(cell, seeds, digits) for cell in column], direction)
        for column in zip(*(line.cells for line in lines), strict=True)
    ]
    cells = zip(*columns, strict=True)
    return tuple(replace(line, cells=row) for line, row in zip(lines, cells, strict=True))


def _lacking(present: int, parts: int) -> Cell:
    return Cell(note=f"{present} of {parts}" if present else "")


def _with_note(cell: Cell, seeds: int, digits: int) -> Cell:
    note = cell.note
    if cell.mean is not None and cell.seeds < seeds:
        note = f"n={cell.seeds}"
    return replace(cell, note=note, digits=digits)


def _with_best(column: Sequence[Cell], direction: int) -> list[Cell]:
    """Returns the column with its best in bold, all of them where they look the same."""
    # Compared as shown: of 80.04 and 80.01, both 80.0, neither should look better.
    shown = [
        None if cell.mean is None or cell.signed else direction * round(cell.mean, cell.digits)
        for cell in column
    ]
    numbers = [value for value in shown if value is not None]
    if direction == 0 or len(numbers) < 2:
        return list(column)
    best = max(numbers)
    return [replace(cell, bold=value == best) for cell, value in zip(column, shown, strict=True)]
