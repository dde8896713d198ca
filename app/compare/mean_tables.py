"""Means over seeds for the Compare page: rows of single seeds in, tables out.

The tables of single data sets come first, because they do not need the other data sets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.compare import words
from mocoop.evaluation.measure_table import find_measure
from mocoop.methods import MENU, METHODS
from mocoop.results.cells import Block, Cell, Line, Table, first_seen
from mocoop.results.page import tables_of
from mocoop.results.published import NOT_COMPARABLE, base_to_new_block, published_domain_table
from mocoop.results.rows import Row
from mocoop.results.tables import LEFT_OUT, MEAN_OF_SHOTS
from mocoop.shots import shots_order


@dataclass(frozen=True)
class Means:
    """The tables of one protocol."""

    by_data: tuple[Table, ...]
    """One table per data set, with its methods and shots."""
    average: Table | None
    """Means over the data sets, for lines that all of them have; None if there is no such line."""
    measures: tuple[Table, ...]
    """Other measures, such as calibration; the notes say what they are."""
    published: Table | None

    @property
    def all(self) -> tuple[Table, ...]:
        """All tables in the order in which they are shown."""
        more = [table for table in (self.average, self.published) if table is not None]
        return (*self.by_data, *more, *self.measures)


def mean_tables(rows: Sequence[Row], protocol: str) -> Means:
    """Returns the tables of one protocol, with the methods' labels.

    Args:
        rows: results of single seeds, of any protocols.
        protocol: a protocol that has at least one row.
    """
    own = in_order([row for row in rows if row.protocol == protocol])
    data = first_seen(row.data for row in own)
    by_data = []
    for name in data:
        rows_there = [row for row in own if row.data == name]
        by_data.append(_filled(tables_of(rows_there, protocol, published=False)[0]))
    together = tables_of(own, protocol, published=False)
    average = _filled(together[0]) if len(together[0].data) > 1 else None
    if average is not None and _learned(together[0]) and not _learned(average):
        average = None  # no method was trained on every data set: nothing to compare
    measures = [_filled(_explained(table)) for table in together if _is_other_measure(table)]
    published = _published(protocol)
    return Means(
        tuple(in_images(table) for table in by_data if table is not None),
        None if average is None else in_images(average),
        tuple(in_images(table) for table in measures if table is not None),
        None if published is None else in_images(published),
    )


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Returns rows sorted by data set, shots and the app's order of methods, with their labels."""
    known = list(MENU)

    def sort_key(row: Row) -> tuple[str, float, int, str]:
        key = row.method.split(", ")[0]
        rank = known.index(key) if key in known else len(known)
        return row.data, shots_order(row.shots), rank, row.method

    return [replace(row, method=shown_method(row.method)) for row in sorted(rows, key=sort_key)]


def shown_method(label: str) -> str:
    """Returns a line's label with the method's label and readable settings.

    >>> shown_method("coop, learning_rate 0.1")
    'CoOp, learning rate 0.1'
    """
    key, *settings = label.split(", ")
    name = METHODS[key].label if key in METHODS else key
    return ", ".join((name, *(text.replace("_", " ") for text in settings)))


def _is_other_measure(table: Table) -> bool:
    """Returns whether a table shows another measure than accuracy."""
    return find_measure(table.measure).section != "accuracy"


def _explained(table: Table) -> Table:
    """Returns a table whose notes also say what is measured, and whether high or low is better."""
    measure = find_measure(table.measure)
    notes = f"{measure.computed} {words.BETTER[measure.better]} {table.notes}"
    return replace(table, notes=notes)


def _learned(table: Table) -> bool:
    """Returns whether a table has a line of a method that is trained."""
    untrained = {method.label for method in METHODS.values() if not method.needs_images}
    return any(line.labels[0] not in untrained for block in table.blocks for line in block.lines)


def _filled(table: Table) -> Table | None:
    """Returns a table without empty lines and columns; missing cells become dashes.

    None if nothing is left.
    """
    lines = [line for block in table.blocks for line in block.lines]
    kept = [line for line in lines if any(cell.mean is not None for cell in line.cells)]
    if not kept:
        return None
    columns = [
        index
        for index in range(len(table.columns))
        if any(line.cells[index].mean is not None for line in kept)
    ]
    if len(columns) == 2 and table.mean_last:
        columns.pop()  # the mean of one column
    cut = tuple(
        Line(line.labels, tuple(_or_dash(line.cells[index]) for index in columns)) for line in kept
    )
    notes = table.notes.replace(LEFT_OUT, "")
    if len(kept) < len(lines):
        notes += f" {words.ONLY_COMPLETE}"
    if any(cell.mean is None for line in cut for cell in line.cells):
        notes += f" {words.DASH}"
    heads = tuple(table.columns[index] for index in columns)
    return replace(table, columns=heads, blocks=(Block(cut),), notes=notes)


def in_images(table: Table) -> Table:
    """Returns a table in the app's words: images per class, where files and options say shots."""
    blocks = tuple(
        replace(block, lines=tuple(_line_in_images(line) for line in block.lines))
        for block in table.blocks
    )
    return replace(
        table,
        title=_in_images(table.title),
        notes=_in_images(table.notes),
        columns=tuple(map(_in_images, table.columns)),
        blocks=blocks,
    )


def _line_in_images(line: Line) -> Line:
    return replace(line, labels=tuple(map(_in_images, line.labels)))


def _in_images(text: str) -> str:
    """Returns a text in the app's words.

    >>> _in_images("1 shot, 16 shots, mean of shots")
    '1 image per class, 16 images per class, mean of these'
    """
    text = re.sub(r"\b(\d+) shot(s?)\b", r"\1 image\2 per class", text)
    return text.replace(MEAN_OF_SHOTS, words.MEAN_OF_THESE)


def _or_dash(cell: Cell) -> Cell:
    return Cell() if cell.mean is None else cell


def _published(protocol: str) -> Table | None:
    if protocol == "domain-generalization":
        return published_domain_table()
    if protocol != "base-to-new":
        return None
    return Table(
        "published-base-to-new",
        words.PUBLISHED,
        NOT_COMPARABLE.strip(),
        ("method",),
        ("base", "new", "HM"),
        (base_to_new_block(),),
    )
