"""The table of every seed's value, for an appendix."""

from __future__ import annotations

from collections.abc import Sequence

from mocoop.evaluation.measure_table import find_measure
from mocoop.results.cells import (
    Block,
    Cell,
    Line,
    Table,
    first_seen,
    table_name,
    with_best_in_bold,
)
from mocoop.results.marks import ALL_NAMES_NOTE, chosen_note
from mocoop.results.rows import ResultIndex, Row
from mocoop.shots import shots_value


def every_seed(rows: Sequence[Row], measure: str) -> Table:
    """Returns a table with the value of every seed in its own column, for an appendix.

    Raises:
        UserError: if there are no such results, or a result appears twice.
    """
    chosen = [row for row in rows if row.measure == measure]
    protocols = first_seen(row.protocol for row in chosen)
    values = {}
    for protocol in protocols or ("any protocol",):
        for (data, target, method, shots, _), series in ResultIndex(
            rows, protocol, (measure,)
        ).items():
            values[(protocol, data, target, method, shots_value(shots))] = series
    heads = ("protocol", "data", "target", "method", "shots")
    shown = [index for index in range(5) if len({key[index] for key in values}) > 1] or [3]
    if all(key[1] == key[2] for key in values):
        shown = [index for index in shown if index != 2]
    seeds = sorted({seed for series in values.values() for seed in series})
    lines = [
        Line(
            tuple(key[index] for index in shown),
            tuple(Cell(series[seed], seeds=1) if seed in series else Cell() for seed in seeds),
        )
        for key, series in values.items()
    ]
    any_key = next(iter(values))
    same = [f"{heads[index]} {any_key[index]}" for index in (0, 1, 3, 4) if index not in shown]
    notes = [f"The same for all: {', '.join(same)}."] if same else []
    tainted = first_seen(row.data for row in chosen if row.chosen_on_test)
    notes += [chosen_note(tainted)] if tainted else []
    notes += [ALL_NAMES_NOTE] if any(row.all_names for row in chosen) else []
    return Table(
        table_name(f"every-seed-{measure}"),
        f"{find_measure(measure).label} of every seed",
        " ".join(notes),
        tuple(heads[index] for index in shown),
        tuple(f"seed {seed}" for seed in seeds),
        (Block(with_best_in_bold(lines, 1, find_measure(measure).digits, direction=0)),),
        measure,
    )
