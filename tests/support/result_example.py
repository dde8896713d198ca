"""Results small enough to check by hand, for the tests of tables and texts."""

from __future__ import annotations

from mocoop.results.tables import Row


def rows_of(protocol, data, method, values, measure="accuracy", target=None, shots=16):
    """Returns a row for every seed, numbered from 1; a None is a seed that is missing."""
    return [
        Row(protocol, data, target or data, method, shots, seed, measure, value)
        for seed, value in enumerate(values, start=1)
        if value is not None
    ]


def cell(table, label, column, block=0):
    """Returns the cell of a line and a column."""
    line = next(line for line in table.blocks[block].lines if line.labels[0] == label)
    return line.cells[table.columns.index(column)]


def labels(table, block=0):
    """Returns the first label of every line."""
    return [line.labels[0] for line in table.blocks[block].lines]


def few_shot_rows():
    """Returns two data sets, two methods, two numbers of shots, three seeds."""
    return [
        *rows_of("few-shot", "faces", "coop", [70.0, 72.0, 74.0], shots=2),
        *rows_of("few-shot", "faces", "coop", [80.0, 82.0, 84.0], shots=1),
        *rows_of("few-shot", "faces", "alpha", [60.0, 60.0, 60.0], shots=2),
        *rows_of("few-shot", "faces", "alpha", [90.0, 90.0, 93.0], shots=1),
        *rows_of("few-shot", "digits", "coop", [50.0, 46.0, 54.0], shots=2),
        *rows_of("few-shot", "digits", "coop", [40.0, 40.0, 40.0], shots=1),
        *rows_of("few-shot", "digits", "alpha", [20.0, 30.0, 40.0], shots=2),
        *rows_of("few-shot", "digits", "alpha", [10.0, 10.0, 10.0], shots=1),
    ]


def base_to_new_rows():
    """Returns two data sets; a linear probe has no new classes."""
    return [
        *rows_of("base-to-new", "faces", "coop", [80.0, 90.0], "base"),
        *rows_of("base-to-new", "faces", "coop", [40.0, 45.0], "new"),
        *rows_of("base-to-new", "digits", "coop", [60.0, 70.0], "base"),
        *rows_of("base-to-new", "digits", "coop", [20.0, 35.0], "new"),
        *rows_of("base-to-new", "faces", "linear-probe", [70.0, 72.0], "base"),
        *rows_of("base-to-new", "digits", "linear-probe", [70.0, 72.0], "base"),
    ]
