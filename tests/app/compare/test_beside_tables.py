"""Methods side by side: tables, sentences and the figure, from numbers made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.compare import beside_figures, beside_tables, words
from app.compare.beside_tables import ALL_RIGHT, ALL_WRONG, ANY_DISAGREE, DISAGREE, EVERY
from mocoop.datasets.base import Item
from mocoop.evaluation.paired import Interval, PairTest, p_in_words
from mocoop.evaluation.side_by_side import SideBySide

LABELS = np.array([0, 1, 0, 1, 0])


@pytest.fixture
def lined():
    """Three methods: A is right on images 0 to 2, B on 0 and 3, C on 0 alone; none on 4."""
    predicted = np.array([[0, 1, 0, 0, 1], [0, 0, 1, 1, 1], [0, 0, 1, 0, 1]])
    items = tuple(Item(f"i{n}", int(label), "dark") for n, label in enumerate(LABELS))
    names = ("A", "B", "C")
    return SideBySide(names, items, ("cat", "dog"), LABELS, predicted, np.full((3, 5), 0.6))


def test_accuracy_has_an_interval(lined):
    table = beside_tables.accuracy_table(lined)
    assert table["method"].tolist() == ["A", "B", "C"]
    assert table["right"].tolist() == [3, 2, 1]
    assert table["accuracy"].tolist() == [60, 40, 20]
    assert (table["low"] < table["accuracy"]).all()
    assert (table["high"] > table["accuracy"]).all()


def test_pairs_and_agreement(lined):
    table = beside_tables.pairs_table(lined)
    assert table[["method", "against", "won", "lost"]].to_numpy().tolist() == [
        ["A", "B", 2, 1],
        ["A", "C", 2, 0],
        ["B", "C", 1, 0],
    ]
    agree = beside_tables.agreement_table(lined)
    assert list(agree.index) == ["1. A", "2. B", "3. C"]
    assert agree.loc["1. A", "2"] == agree.loc["2. B", "1"] == 40
    assert agree.loc["3. C", "3"] == 100


@pytest.mark.parametrize(
    ("wanted", "images"),
    [
        (DISAGREE, {1, 2, 3}),
        (ANY_DISAGREE, {1, 2, 3}),
        ("A wins", {1, 2}),
        ("B wins", {3}),
        (ALL_RIGHT, {0}),
        (ALL_WRONG, {4}),
        (EVERY, {0, 1, 2, 3, 4}),
    ],
)
def test_every_choice_of_images(lined, wanted, images):
    assert wanted in beside_tables.filters(lined.names, 0, 1)
    chosen = beside_tables.chosen_images(lined, wanted, 0, 1)
    assert set(chosen.tolist()) == images
    assert chosen.tolist() == beside_tables.chosen_images(lined, wanted, 0, 1).tolist()
    table = beside_tables.images_table(lined, chosen)
    assert set(table["image"]) == {f"i{index}" for index in images}
    assert {"A", "B", "C", "probability, A"} <= set(table.columns)


def test_two_methods_disagree_or_any(lined):
    of_the_pair = beside_tables.chosen_images(lined, DISAGREE, 1, 2)
    assert set(of_the_pair.tolist()) == {3}
    assert ANY_DISAGREE not in beside_tables.filters(lined.names[:2], 0, 1)


def test_a_pair_in_words():
    clear = PairTest(100, 271, 5, 200, 1e-70, 46.2, Interval(42.1, 50.2))
    said = words.pair("MoCoOp", "CoOp", clear)
    assert said == (
        "MoCoOp is right on 271 images on which CoOp is wrong. CoOp is right on 5 images on which "
        "MoCoOp is wrong. The difference is +46.2 points [+42.1, +50.2], p < 0.001: MoCoOp is "
        "better."
    )
    close = PairTest(10, 1, 2, 5, 1.0, -5.6, Interval(-22.0, 11.0))
    said = words.pair("A", "B", close)
    assert "A is right on 1 image on which B is wrong" in said
    assert said.endswith("−5.6 points [−22.0, +11.0], p = 1.00: no clear difference on 18 images.")
    lost = replace(clear, difference=-46.2)
    assert words.pair("A", "B", lost).endswith("B is better.")


@pytest.mark.parametrize(
    ("p", "said"), [(0.0, "p < 0.001"), (0.0123, "p = 0.012"), (0.25, "p = 0.25")]
)
def test_p_in_words(p, said):
    assert p_in_words(p) == said


def test_the_figure_shows_intervals(lined):
    table = beside_tables.accuracy_table(lined)
    figure = beside_figures.accuracy_intervals(table, {"A": "#111111", "B": "#222", "C": "#333"})
    bars = figure.data[0]
    assert list(bars.y) == ["A", "B", "C"]
    assert list(bars.x) == [60, 40, 20]
    assert bars.x[0] + bars.error_x.array[0] == pytest.approx(table["high"][0])
    assert bars.x[0] - bars.error_x.arrayminus[0] == pytest.approx(table["low"][0])
