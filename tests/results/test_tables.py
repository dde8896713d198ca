"""Tables of results: means, spreads and differences by hand, order, and what is missing."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from mocoop.results.cells import Cell, mean_cell
from mocoop.results.every_seed import every_seed
from mocoop.results.markup import to_markdown
from mocoop.results.tables import (
    ablation_table,
    base_to_new_tables,
    few_shot_tables,
    from_csv,
    measure_table,
    to_csv,
    transfer_tables,
)
from tests.support.result_example import base_to_new_rows, cell, few_shot_rows, labels, rows_of


@pytest.fixture
def few_shot():
    return few_shot_rows()


@pytest.fixture
def base_to_new():
    return base_to_new_rows()


def test_few_shot_averages(few_shot):
    """Means and spreads on each data set, of the average seed by seed, and over shots."""
    average, faces, digits = few_shot_tables(few_shot)
    assert average.columns == ("2 shots", "1 shot", "mean of shots")
    one = cell(faces, "coop", "2 shots")
    assert (one.mean, one.std, one.seeds) == (72.0, 2.0, 3)
    # Seed by seed 60, 59 and 64: mean 61, deviations -1, -2 and 3.
    one = cell(average, "coop", "2 shots")
    assert one.mean == pytest.approx(61.0)
    assert one.std == pytest.approx(7**0.5)
    # Over shots and data sets 60, 60 and 63.
    one = cell(average, "coop", "mean of shots")
    assert one.mean == pytest.approx(61.0)
    assert one.std == pytest.approx(3**0.5)
    assert cell(digits, "alpha", "mean of shots").mean == pytest.approx(20.0)
    assert "over 3 seeds" in average.notes
    assert "n:" not in average.notes


def test_order_is_that_of_first_appearance(few_shot):
    """Neither data sets nor methods nor shots are sorted; one data set needs no average."""
    tables = few_shot_tables(few_shot)
    assert [table.title.split(", ")[1] for table in tables] == [
        "average over 2 data sets",
        "faces",
        "digits",
    ]
    assert [table.name for table in tables[:2]] == [
        "few-shot-accuracy-average",
        "few-shot-accuracy-faces",
    ]
    assert labels(tables[0]) == ["coop", "alpha"]
    swapped = few_shot_tables(few_shot[::-1])
    assert labels(swapped[0]) == ["alpha", "coop"]
    assert swapped[0].columns[0] == "1 shot"
    assert len(few_shot_tables([row for row in few_shot if row.data == "faces"])) == 1


def test_best_of_a_column_is_bold():
    """All that look best are bold, in the direction of the measure, and nothing stands alone."""
    rows = [
        *rows_of("few-shot", "faces", "a", [80.04]),
        *rows_of("few-shot", "faces", "b", [80.01]),
        *rows_of("few-shot", "faces", "c", [79.9]),
        *rows_of("few-shot", "faces", "a", [3.0], "training seconds"),
        *rows_of("few-shot", "faces", "b", [2.0], "training seconds"),
        *rows_of("few-shot", "faces", "a", [3.0], "largest load"),
        *rows_of("few-shot", "faces", "b", [2.0], "largest load"),
        *rows_of("few-shot", "faces", "b", [0.5], "style NMI"),
    ]
    found = {
        measure: [line.cells[0].bold for line in measure_table(rows, measure).blocks[0].lines]
        for measure in ("accuracy", "training seconds", "largest load", "style NMI")
    }
    assert found == {
        "accuracy": [True, True, False],
        "training seconds": [False, True],
        "largest load": [False, False],
        "style NMI": [False],
    }


def test_missing_seeds_and_data_sets(few_shot):
    """A cell of fewer seeds says how many; an average without all its parts is left out."""
    without_a_seed = [row for row in few_shot if (row.data, row.method, row.shots, row.seed) !=
                      ("digits", "coop", 2, 2)]  # fmt: skip
    average, _, digits = few_shot_tables(without_a_seed)
    one = cell(digits, "coop", "2 shots")
    assert (one.mean, one.note) == (52.0, "n=2")
    # Seeds 1 and 3, which both data sets have: 60 and 64.
    one = cell(average, "coop", "2 shots")
    assert (one.mean, one.std, one.note) == (62.0, pytest.approx(8**0.5), "n=2")
    assert cell(average, "alpha", "2 shots").note == ""
    assert "(n: number of seeds if fewer)" in average.notes

    without_a_set = [row for row in few_shot if (row.data, row.method) != ("digits", "coop")]
    average, _, digits = few_shot_tables(without_a_set)
    assert cell(digits, "coop", "2 shots") == Cell()
    assert cell(average, "coop", "2 shots").mean is None
    assert cell(average, "coop", "2 shots").note == "1 of 2"
    assert "– (1 of 2)" in to_markdown(average)
    assert "averages with missing parts are left out" in average.notes


def test_no_seed_in_common():
    """Seeds that never meet give no average, and say so."""
    assert mean_cell([{1: 80.0}, {2: 60.0}]).note == "no common seed"
    assert mean_cell([{1: 80.0}]) == Cell(80.0, None, 1)
    assert mean_cell([]) == Cell()


def test_no_training_stands_beside_any_number_of_shots(few_shot):
    """Zero-shot results appear in all columns of shots, and make none of their own."""
    zero = rows_of("few-shot", "faces", "zero-shot", [55.0], shots=0)
    zero += rows_of("few-shot", "digits", "zero-shot", [45.0], shots=0)
    average = few_shot_tables(few_shot + zero)[0]
    assert average.columns == ("2 shots", "1 shot", "mean of shots")
    shown = [(one.mean, one.std, one.note) for one in average.blocks[0].lines[2].cells]
    assert shown == [(50.0, None, "n=1")] * 3
    alone = few_shot_tables(zero)[0]
    assert alone.columns == ("0 shots",)
    assert "One seed" in alone.notes


def test_the_average_shows_shots_that_all_data_have():
    rows = rows_of("few-shot", "faces", "coop", [50.0, 52.0], shots=1)
    rows += rows_of("few-shot", "faces", "coop", [60.0, 62.0], shots=16)
    rows += rows_of("few-shot", "digits", "coop", [40.0, 44.0], shots=16)
    rows += rows_of("few-shot", "faces", "zero-shot", [30.0, 30.0], shots=0)
    rows += rows_of("few-shot", "digits", "zero-shot", [20.0, 20.0], shots=0)
    average, faces, digits = few_shot_tables(rows)
    assert average.columns == digits.columns == ("16 shots",)
    assert faces.columns == ("1 shot", "16 shots", "mean of shots")
    assert [line.cells[0].mean for line in average.blocks[0].lines] == [51.5, 25.0]


def test_harmonic_means(base_to_new):
    """HM of each seed on a data set, and of the means over data sets for the average."""
    average, faces, _ = base_to_new_tables(base_to_new)
    one = cell(faces, "coop", "HM")
    first, second = 6400 / 120, 8100 / 135
    assert one.mean == pytest.approx((first + second) / 2)
    assert one.std == pytest.approx(abs(second - first) / 2**0.5)
    # Means 70 and 30, then 80 and 40; not the mean of the HMs.
    first, second = 4200 / 100, 6400 / 120
    one = cell(average, "coop", "HM")
    assert one.mean == pytest.approx((first + second) / 2)
    assert one.std == pytest.approx(abs(second - first) / 2**0.5)
    assert cell(average, "coop", "base").mean == pytest.approx(75.0)
    assert "HM is the harmonic mean of mean base and mean new accuracy" in average.notes
    assert "HM is that" not in faces.notes


def test_linear_probe_has_no_new_classes(base_to_new):
    """A dash for what a method cannot do, without a remark."""
    average = base_to_new_tables(base_to_new)[0]
    line = next(line for line in to_markdown(average).splitlines() if "linear-probe" in line)
    assert line == "| linear-probe | 71.0 ± 1.4 | – | – |"


def test_published_block(base_to_new):
    """Published averages are a block of the first table only, as printed and never bold."""
    average, faces, digits = base_to_new_tables(base_to_new)
    assert [len(table.blocks) for table in (average, faces, digits)] == [2, 1, 1]
    assert average.blocks[1].title == "Published: ViT-B/16, 16 shots, average over 11 benchmarks"
    assert "level cannot be compared" in average.notes
    text = to_markdown(average)
    assert "| CLIP | 69.34 | 74.22 | 71.70 |" in text
    assert "| MoCoOp | – (not available) | – (not available) | – (not available) |" in text
    assert not any(one.bold for line in average.blocks[1].lines for one in line.cells)


def test_several_shots_are_lines_of_their_own(base_to_new):
    """Shots are named where they differ; results without training need no number."""
    more = rows_of("base-to-new", "faces", "coop", [75.0, 75.0], "base", shots=1)
    more += rows_of("base-to-new", "faces", "zero-shot", [65.0], "base", shots=0)
    faces = base_to_new_tables(base_to_new + more)[1]
    assert labels(faces) == ["coop, 16 shots", "linear-probe, 16 shots", "coop, 1 shot",
                             "zero-shot"]  # fmt: skip
    assert cell(faces, "coop, 1 shot", "base").mean == 75.0
    assert cell(faces, "coop, 1 shot", "HM").mean is None
    assert not faces.notes.startswith("16 shots")


def test_transfer_to_styles():
    """Source, every target and their mean; styles are averaged over sources, first of all."""
    rows = []
    for source, shift in (("faces", 0.0), ("details", 10.0)):
        for target, values in (
            (source, [80.0, 82.0]),
            ("sketch", [50.0, 54.0]),
            ("art", [40, 40]),
        ):
            moved = [value + shift for value in values]
            rows += rows_of("domain-generalization", source, "coop", moved, target=target)
    average, faces, details = transfer_tables(rows, "domain-generalization")
    assert average.columns == ("source", "sketch", "art", "mean of targets")
    assert faces.columns == ("faces", "sketch", "art", "mean of targets")
    assert [one.mean for one in faces.blocks[0].lines[0].cells] == [81.0, 52.0, 40.0, 46.0]
    assert [one.mean for one in average.blocks[0].lines[0].cells] == [86.0, 57.0, 45.0, 51.0]
    # Of the targets' means 45 and 47 of faces, 55 and 57 of details.
    assert cell(average, "coop", "mean of targets").std == pytest.approx(2**0.5)
    assert details.title == "Domain generalisation, accuracy, details"


def test_the_first_column_names_the_style_of_the_training():
    rows = [
        replace(row, style="photo")
        for target in ("faces", "sketch")
        for row in rows_of("domain-generalization", "faces", "coop", [8.0], target=target)
    ]
    (table,) = transfer_tables(rows, "domain-generalization")
    assert table.columns == ("photo (trained on)", "sketch", "mean of targets")
    assert from_csv(to_csv(rows)) == tuple(rows)


def test_transfer_to_other_data_sets_has_no_average():
    """Every source has other targets: one table for each and none over all."""
    rows = [
        row
        for source, target in itertools.product(("faces", "details", "digits"), repeat=2)
        for row in rows_of("cross-dataset", source, "coop", [50.0, 52.0], target=target)
        if source != "digits"
    ]
    tables = transfer_tables(rows, "cross-dataset")
    assert [table.columns[:-1] for table in tables] == [
        ("faces", "details", "digits"),
        ("details", "faces", "digits"),
    ]


def test_measure_table():
    """Methods × data sets with the average; transfers have their own columns; three decimals."""
    rows = [
        *rows_of("few-shot", "faces", "mocoop", [0.5, 0.6], "style NMI"),
        *rows_of("few-shot", "digits", "mocoop", [0.1, 0.2], "style NMI"),
        *rows_of("few-shot", "faces", "coop", [0.0, 0.0], "style NMI", target="art"),
    ]
    table = measure_table(rows, "style NMI")
    assert table.columns == ("faces", "faces → art", "digits", "average")
    assert "| mocoop | 0.550 ± 0.071 | – | 0.150 ± 0.071 | 0.350 ± 0.071 |" in to_markdown(table)
    assert "| coop | – | 0.000 ± 0.000 | – | – |" in to_markdown(table)


def test_ablation_differences_are_paired():
    """Differences from the first variant are of the same seed, then mean and spread."""
    rows = [
        *rows_of("ablation", "faces", "full", [80.0, 84.0, 88.0]),
        *rows_of("ablation", "digits", "full", [60.0, 60.0, 60.0]),
        *rows_of("ablation", "faces", "no_gate", [78.0, 83.0, 82.0]),
        *rows_of("ablation", "digits", "no_gate", [58.0, 59.0, None]),
    ]
    table = ablation_table(rows)
    assert table.columns == ("few-shot", "Δ few-shot")
    # Averages 70, 72 and 74 against 68 and 71.
    assert cell(table, "full", "few-shot").mean == pytest.approx(72.0)
    assert cell(table, "full", "Δ few-shot").mean is None
    gap = cell(table, "no_gate", "Δ few-shot")
    assert gap.mean == pytest.approx(-1.5)
    assert gap.std == pytest.approx(0.5**0.5)
    assert (gap.note, gap.bold) == ("n=2", False)
    assert cell(table, "full", "few-shot").bold
    assert "−1.5 ± 0.7 (n=2)" in to_markdown(table)
    assert "Δ: difference from full" in table.notes


def test_ablation_of_base_and_new():
    """All four measures where there are all; HM and its difference come from the means."""
    values = {"accuracy": [80.0, 82.0], "base": [80.0, 80.0], "new": [40.0, 20.0]}
    rows = []
    for data, shift in (("faces", 0.0), ("digits", 20.0)):
        for variant, loss in (("full", 0.0), ("no text loss", 10.0)):
            for measure, numbers in values.items():
                moved = [value - shift * (measure == "base") - loss * (measure == "new")
                         for value in numbers]  # fmt: skip
                rows += rows_of("ablation", data, variant, moved, measure)
    table = ablation_table(rows)
    assert table.columns == ("few-shot", "base", "new", "HM", "Δ few-shot", "Δ base", "Δ new",
                             "Δ HM")  # fmt: skip
    full = [2 * 70 * 40 / 110, 2 * 70 * 20 / 90]
    less = [2 * 70 * 30 / 100, 2 * 70 * 10 / 80]
    gap = cell(table, "no text loss", "Δ HM")
    gaps = [low - high for low, high in zip(less, full, strict=True)]
    assert cell(table, "full", "HM").mean == pytest.approx(sum(full) / 2)
    assert gap.mean == pytest.approx(sum(gaps) / 2)
    assert gap.std == pytest.approx(abs(gaps[0] - gaps[1]) / 2**0.5)
    assert cell(table, "no text loss", "Δ new").mean == pytest.approx(-10.0)
    assert cell(table, "no text loss", "Δ base").mean == 0.0
    assert "| +0.0 ± 0.0 |" in to_markdown(table)


def test_every_seed(few_shot):
    """Each value has its place; what never changes is said once instead of in a column."""
    table = every_seed(few_shot[:9] + few_shot[10:], "accuracy")
    assert table.heads == ("data", "method", "shots")
    assert table.columns == ("seed 1", "seed 2", "seed 3")
    assert table.notes == "The same for all: protocol few-shot."
    text = to_markdown(table)
    assert "| faces | coop | 2 | 70.0 | 72.0 | 74.0 |" in text
    assert "| faces | alpha | 1 | – | 90.0 | 93.0 |" in text
    assert "**6" not in text
    single = every_seed(rows_of("few-shot", "faces", "coop", [70.0]), "accuracy")
    assert single.heads == ("method",)
    moved = rows_of("cross-dataset", "faces", "coop", [70.0], target="digits")
    assert every_seed(few_shot + moved, "accuracy").heads == (
        "protocol", "data", "target", "method", "shots",
    )  # fmt: skip
