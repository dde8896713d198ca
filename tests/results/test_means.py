"""Means over seeds as CSV: both standard deviations by hand, and every table says which is its."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from mocoop.results.markup import to_latex, to_markdown
from mocoop.results.means import means_csv
from mocoop.results.tables import (
    ablation_table,
    base_to_new_tables,
    few_shot_tables,
    measure_table,
    transfer_tables,
)
from tests.support.result_example import base_to_new_rows, few_shot_rows, rows_of

WHICH = "sample standard deviation (n − 1)"


def lines_of(rows):
    """Returns the lines of the CSV as dictionaries."""
    return list(csv.DictReader(io.StringIO(means_csv(rows))))


def test_both_deviations_by_hand():
    """72 ± 2 as a sample; the squared distances 4, 0 and 4 over three make √(8/3)."""
    line = lines_of(few_shot_rows())[0]
    assert {name: line[name] for name in ("data", "method", "shots", "seeds")} == {
        "data": "faces",
        "method": "coop",
        "shots": "2",
        "seeds": "3",
    }
    assert float(line["mean"]) == 72.0
    assert float(line["std_sample"]) == pytest.approx(2.0)
    assert float(line["std_population"]) == pytest.approx((8 / 3) ** 0.5)


def test_population_is_numpys_default_as_in_coop():
    values = [70.25, 71.5, 69.0, 74.75]
    (line,) = lines_of(rows_of("few-shot", "faces", "coop", values))
    assert float(line["std_population"]) == pytest.approx(np.std(values))
    assert float(line["std_sample"]) == pytest.approx(np.std(values, ddof=1))


def test_one_seed_has_no_spread():
    (line,) = lines_of(rows_of("few-shot", "faces", "coop", [70.0]))
    assert (line["mean"], line["std_sample"], line["std_population"]) == ("70.0", "", "")


def test_protocols_and_targets_stay_apart():
    rows = [
        *rows_of("few-shot", "faces", "coop", [1.0, 2.0]),
        *rows_of("cross-dataset", "faces", "coop", [3.0, 4.0]),
        *rows_of("cross-dataset", "faces", "coop", [5.0, 6.0], target="details"),
    ]
    assert [float(line["mean"]) for line in lines_of(rows)] == [1.5, 3.5, 5.5]


def test_every_table_says_which_deviation_it_shows():
    transfer = rows_of("cross-dataset", "faces", "coop", [1.0, 2.0], target="details")
    transfer += rows_of("cross-dataset", "faces", "coop", [1.0, 2.0])
    ablation = rows_of("ablation", "faces", "full", [1.0, 2.0])
    tables = [
        *few_shot_tables(few_shot_rows()),
        *base_to_new_tables(base_to_new_rows()),
        *transfer_tables(transfer, "cross-dataset"),
        measure_table(rows_of("few-shot", "a", "b", [1.0, 2.0], "style NMI"), "style NMI"),
        ablation_table(ablation),
    ]
    for table in tables:
        assert WHICH in to_markdown(table)
        assert WHICH.replace("−", "$-$") in to_latex(table)


def test_the_page_of_results_says_it_too():
    text = (Path(__file__).parents[2] / "RESULTS.md").read_text(encoding="utf-8")
    assert "± standard deviation" not in text
    assert WHICH in text
