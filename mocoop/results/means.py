"""Means over seeds as CSV, with both standard deviations that papers print."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence

from mocoop.csv_cells import csv_cell
from mocoop.results.rows import Key, Row

_COLUMNS = (
    "protocol", "data", "target", "method", "shots", "measure", "seeds", "mean", "std_sample",
    "std_population", "chosen_on_test", "all_names",
)  # fmt: skip


def means_csv(rows: Sequence[Row]) -> str:
    """Returns a line for everything that was measured with several seeds, or with one.

    `std_sample` divides by n - 1 and is what the tables show; `std_population` divides by n, as
    CoOp's script for mean and deviation does (numpy's default). Both are empty with one seed.

    Args:
        rows: results of every seed, of any protocols.
    """
    found: dict[tuple[str, Key], list[float]] = {}
    marked: set[tuple[str, Key]] = set()
    all_names: set[tuple[str, Key]] = set()
    for row in rows:
        key = (row.data, row.target, row.method, row.shots, row.measure)
        found.setdefault((row.protocol, key), []).append(row.value)
        if row.chosen_on_test:
            marked.add((row.protocol, key))
        if row.all_names:
            all_names.add((row.protocol, key))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for (protocol, key), values in found.items():
        several = len(values) > 1
        spread = (statistics.stdev(values), statistics.pstdev(values)) if several else ("", "")
        marks = int((protocol, key) in marked), int((protocol, key) in all_names)
        numbers = len(values), statistics.fmean(values), *spread, *marks
        writer.writerow(map(csv_cell, (protocol, *key, *numbers)))
    return text.getvalue()
