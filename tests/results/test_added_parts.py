"""Differences of methods, averaged over data sets and paired by seed."""

from __future__ import annotations

import statistics

import pytest

from mocoop.methods import METHODS
from mocoop.results.added_parts import Addition, added_parts
from mocoop.results.page import ADDITIONS
from mocoop.results.rows import Row

VALUES = {  # method → data → seed → few-shot, base, new
    "coop": {"a": {1: (50, 60, 40), 2: (52, 62, 40)}, "b": {1: (30, 30, 20), 2: (34, 34, 24)}},
    "lasp": {"a": {1: (53, 60, 50), 2: (53, 62, 52)}, "b": {1: (33, 34, 20), 2: (39, 34, 28)}},
}


def rows():
    return [
        Row("few-shot" if name == "accuracy" else "base-to-new", data, data, method, 16, seed,
            name, float(value))
        for method, sets in VALUES.items()
        for data, seeds in sets.items()
        for seed, values in seeds.items()
        for name, value in zip(("accuracy", "base", "new"), values, strict=True)
    ]  # fmt: skip


def hm(base, new):
    return 2 * base * new / (base + new)


def test_differences_equal_those_by_hand():
    table = added_parts(rows(), [Addition("loss", "lasp", "coop")], shots=16)
    (line,) = table.blocks[0].lines
    assert line.labels == ("loss", "lasp", "coop")
    few, base, new, both = line.cells
    assert (few.mean, few.std) == (3.0, pytest.approx(0.0))  # 3 and 3, 1 and 5
    assert (base.mean, base.std) == (1.0, pytest.approx(2**0.5))  # 0 and 4, 0 and 0
    assert new.mean == 6.5  # 10 and 0, 12 and 4
    gaps = [hm(47, 35) - hm(45, 30), hm(48, 40) - hm(48, 32)]
    assert both.mean == pytest.approx(statistics.fmean(gaps))
    assert both.std == pytest.approx(statistics.stdev(gaps))


def test_a_set_that_one_method_lacks_leaves_no_number():
    fewer = [row for row in rows() if (row.method, row.data) != ("lasp", "b")]
    table = added_parts(fewer, [Addition("loss", "lasp", "coop")], shots=16)
    assert [cell.mean for cell in table.blocks[0].lines[0].cells] == [None] * 4


def test_the_page_compares_methods_that_there_are():
    assert {name for one in ADDITIONS for name in (one.method, one.without)} <= METHODS.keys()
