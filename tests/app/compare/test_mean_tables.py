"""The Compare page's tables of means: a data set's own first, and no line of dashes."""

from __future__ import annotations

import pytest

from app.compare.mean_tables import in_order, mean_tables, shown_method
from mocoop.results.rows import Row


def rows_of(data, method, shots, values, measure="accuracy", protocol="few-shot"):
    """Returns a row for each seed."""
    return [
        Row(protocol, data, data, method, shots, seed, measure, value)
        for seed, value in enumerate(values, start=1)
    ]


@pytest.fixture
def few():
    """MoCoOp on two data sets at 16 shots, CoOp on one, with shots in falling order."""
    return [
        *rows_of("details", "mocoop", 16, [60.0, 62.0]),
        *rows_of("details", "mocoop", 2, [50.0, 52.0]),
        *rows_of("faces", "mocoop", 16, [70.0, 72.0]),
        *rows_of("details", "coop", 16, [64.0, 66.0]),
        *rows_of("details", "mocoop", 16, [8.0, 9.0], "calibration error"),
        *rows_of("details", "coop", 16, [5.0, 6.0], "calibration error"),
        *rows_of("details", "mocoop", 16, [0.5, 0.6], "routing entropy"),
    ]


def lines(table):
    return {line.labels[0]: line.cells for line in table.blocks[0].lines}


def test_zero_shot_alone_has_no_average_beside_trained_methods():
    untrained = [
        *rows_of("details", "zero-shot", 0, [30.0]),
        *rows_of("faces", "zero-shot", 0, [40.0]),
    ]
    trained = [
        *rows_of("details", "mocoop", 16, [60.0]),
        *rows_of("faces", "coop", 8, [70.0]),
    ]
    assert mean_tables([*untrained, *trained], "few-shot").average is None
    assert lines(mean_tables(untrained, "few-shot").average)["Zero-shot"][0].mean == 35.0
    both = [*untrained, *trained, *rows_of("faces", "mocoop", 16, [80.0])]
    assert lines(mean_tables(both, "few-shot").average)["MoCoOp"][0].mean == 70.0


def test_every_data_set_has_a_table_of_what_it_has(few):
    details, faces = mean_tables(few, "few-shot").by_data
    assert details.columns[:2] == ("2 images per class", "16 images per class")
    assert details.columns.index("2 images per class") < details.columns.index(
        "16 images per class"
    )
    assert list(lines(faces)) == ["MoCoOp"]  # CoOp has nothing there
    assert lines(faces)["MoCoOp"][0].mean == 71.0
    assert list(lines(details)) == ["MoCoOp", "CoOp"]
    coop = lines(details)["CoOp"]
    assert "A dash means that" in details.notes
    assert faces.columns == (
        "16 images per class",
    )  # a mean over one number of shots says nothing more
    assert (coop[1].mean, coop[1].bold, coop[0].mean, coop[0].note) == (65.0, True, None, "")


def test_the_average_has_only_what_all_data_sets_have(few):
    average = mean_tables(few, "few-shot").average
    assert average.columns == ("16 images per class",)
    assert {name: cells[0].mean for name, cells in lines(average).items()} == {"MoCoOp": 66.0}
    assert "Only lines with runs on every data set" in average.notes
    none = [row for row in few if (row.data, row.method) != ("details", "mocoop")]
    assert mean_tables(none, "few-shot").average is None
    alone = [row for row in few if row.data == "details"]
    assert mean_tables(alone, "few-shot").average is None


def test_other_measures_say_what_is_better(few):
    calibration, entropy = mean_tables(few, "few-shot").measures
    assert calibration.notes.startswith("Mean distance between top probability")
    assert " Lower is better. " in calibration.notes
    assert lines(calibration)["CoOp"][0].bold
    assert " Neither high nor low is better. " in entropy.notes
    assert not any(cell.bold for cells in lines(entropy).values() for cell in cells)


def test_published_numbers_stand_apart():
    rows = [
        *rows_of("details", "coop", 16, [60.0], "base", "base-to-new"),
        *rows_of("details", "coop", 16, [50.0], "new", "base-to-new"),
    ]
    means = mean_tables(rows, "base-to-new")
    assert [len(table.blocks) for table in means.by_data] == [1]
    assert "ViT-B/16" not in means.by_data[0].notes
    assert means.published.blocks[0].title.startswith("Published")
    assert mean_tables(rows_of("details", "coop", 2, [1.0]), "few-shot").published is None


def test_methods_have_their_names_and_order():
    labels = ["tip-adapter", "mocoop, epochs 3, groups photo + toy", "coop, learning_rate 0.1"]
    rows = [row for label in labels for row in rows_of("details", label, 2, [1.0])]
    assert [row.method for row in in_order(rows)] == [
        "MoCoOp, epochs 3, groups photo + toy",
        "CoOp, learning rate 0.1",
        "Tip-Adapter",
    ]
    assert shown_method("something else") == "something else"
