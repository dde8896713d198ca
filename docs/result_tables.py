"""Draws the tables of docs/results.md and README.md from RESULTS.csv.

`python docs/record_tables.py --write` puts them into their documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from mocoop.evaluation.measure_table import find_measure
from mocoop.results.cells import Block, Line, Table, mean_cell, with_best_in_bold
from mocoop.results.markup import to_markdown
from mocoop.results.rows import ResultIndex, Row, from_csv, method_in
from mocoop.results.tables import (
    BEST_IN_BOLD,
    LEFT_OUT,
    SPREAD,
    ablation_table,
    base_to_new_tables,
    few_shot_tables,
    measure_table,
    transfer_tables,
)

RESULTS = Path(__file__).parents[1] / "RESULTS.csv"
SHOTS = 16
IN_README = ("albums", "details", "halves")
ROUTED = "mocoop"
WAYS = ("router", "uniform mixture", "best single expert", "oracle", "style NMI")
AVERAGE = "average"
GAPS = ("Δ few-shot", "Δ HM")


@cache
def rows() -> tuple[Row, ...]:
    """Returns every line of RESULTS.csv."""
    return from_csv(RESULTS.read_text(encoding="utf-8"))


def few_shot() -> str:
    """Returns the table of methods × sets, with 16 images per class."""
    return _drawn(_few_shot_of_sets())


def fewer_shots(data: str) -> str:
    """Returns the table of methods × shots on one set, of the methods that have them all."""
    own = [row for row in rows() if (row.protocol, row.data) == ("few-shot", data)]
    untrained = {row.method for row in own if not row.shots}
    complete = untrained | {row.method for row in own if 0 < row.shots < SHOTS}
    (table,) = few_shot_tables([row for row in own if row.method in complete])
    return _drawn(table)


def base_to_new() -> str:
    """Returns the table of methods × (base, new, HM), means over the sets."""
    return _drawn(_of_all_sets(base_to_new_tables(rows(), published=False)[0], "base"))


def new_classes() -> str:
    """Returns the table of methods × sets, accuracy on classes that were never trained on."""
    return _drawn(_of_all_sets(measure_table(rows(), "new", "base-to-new"), AVERAGE))


def other_styles(data: str) -> str:
    """Returns the table of methods × styles, trained on one style of one set."""
    own = [row for row in rows() if row.data == data]
    return _drawn(transfer_tables(own, "domain-generalization")[0])


def other_sets() -> str:
    """Returns the table of methods × sets, trained on one of them."""
    return _drawn(transfer_tables(rows(), "cross-dataset")[0])


def routing() -> str:
    """Returns the table of ways to choose experts × sets, for MoCoOp."""
    few = [row for row in rows() if (row.protocol, row.method) == ("few-shot", ROUTED)]
    found = ResultIndex([row for row in few if row.shots == SHOTS], "few-shot", WAYS)
    lines = []
    for name in WAYS:
        measure = find_measure(name)
        own = [mean_cell([found.series(data, data, ROUTED, SHOTS, name)]) for data in found.data]
        cells = tuple(replace(cell, digits=measure.digits) for cell in own)
        lines.append(Line((measure.label,), cells))
    notes = f"{SHOTS} shots. {SPREAD} over {found.num_seeds} seeds."
    title = f"Ways to choose the experts of {ROUTED}"
    return _drawn(Table("routing", title, notes, ("chosen",), found.data, (Block(tuple(lines)),)))


def ablation(method: str) -> str:
    """Returns the differences of a mixture's variants from the whole method."""
    own = [
        row
        for row in rows()
        if row.protocol == "ablation" and (method_in(row.method) or ROUTED) == method
    ]
    table = _only(ablation_table(own), GAPS)
    variants = table.blocks[0].lines[1:]  # the first is the whole method
    notes = table.notes.replace(BEST_IN_BOLD, "")  # no difference is bold
    return _drawn(replace(table, notes=notes, blocks=(Block(variants),)))


def readme() -> str:
    """Returns the table of methods × some sets, all sets, and base and new classes of all."""
    few = _of_all_sets(_only(_few_shot_of_sets(), (*IN_README, AVERAGE)), AVERAGE)
    halves = base_to_new_tables(rows(), published=False)[0]
    by_label = {line.labels: line.cells for line in halves.blocks[0].lines}
    lines = [
        replace(line, cells=(*line.cells, *by_label[line.labels])) for line in few.blocks[0].lines
    ]
    seeds = max(cell.seeds for line in lines for cell in line.cells)
    columns = (*IN_README, "mean of all sets", *halves.columns)
    # The best of a column is that of these methods: those with all names are not among them.
    shown = replace(few, columns=columns, blocks=(Block(with_best_in_bold(lines, seeds)),))
    return to_markdown(shown).partition("\n\n")[2].rstrip()  # README has its own words above it


def _few_shot_of_sets() -> Table:
    own = [row for row in rows() if row.protocol == "few-shot" and row.shots in (0, SHOTS)]
    return measure_table(own, "accuracy", "few-shot")


def _of_all_sets(table: Table, mean: str) -> Table:
    """Returns a table without methods that were not trained on all sets, so that a mean lacks."""
    place = table.columns.index(mean)
    lines = tuple(line for line in table.blocks[0].lines if line.cells[place].mean is not None)
    notes = table.notes.replace(LEFT_OUT, "")
    return replace(table, notes=notes, blocks=(Block(lines),))


def _only(table: Table, columns: Sequence[str]) -> Table:
    """Returns a table with some of its columns."""
    places = [table.columns.index(name) for name in columns]
    blocks = tuple(
        replace(
            block,
            lines=tuple(
                replace(line, cells=tuple(line.cells[place] for place in places))
                for line in block.lines
            ),
        )
        for block in table.blocks
    )
    return replace(table, columns=tuple(columns), blocks=blocks)


def _drawn(table: Table) -> str:
    """Returns a table as Markdown, below its title and how to read it."""
    return to_markdown(table).rstrip()


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "all methods": ("README.md", readme),
    "few-shot": ("docs/results.md", few_shot),
    "fewer shots, details": ("docs/results.md", partial(fewer_shots, "details")),
    "fewer shots, albums": ("docs/results.md", partial(fewer_shots, "albums")),
    "base-to-new": ("docs/results.md", base_to_new),
    "new classes": ("docs/results.md", new_classes),
    "routing": ("docs/results.md", routing),
    "other styles, albums": ("docs/results.md", partial(other_styles, "albums")),
    "other styles, details": ("docs/results.md", partial(other_styles, "details")),
    "other sets": ("docs/results.md", other_sets),
    "ablation": ("docs/results.md", partial(ablation, "mocoop")),
    "ablation of mocoop-v": ("docs/results.md", partial(ablation, "mocoop-v")),
    "ablation of mocoop-cond": ("docs/results.md", partial(ablation, "mocoop-cond")),
}
"""Name → the document that has the table, and what draws it."""
