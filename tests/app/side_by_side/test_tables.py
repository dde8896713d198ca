"""The answers of several methods for one picture, from numbers made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.side_by_side.tables import Column, answers_table, in_words
from mocoop.classifiers.base import Routed
from tests.support.routed_example import routed_items


def one_picture(index):
    """Returns the routing of one of the example's pictures, as a batch of its own."""
    whole = routed_items().routed
    rows = slice(index, index + 1)
    return Routed(
        whole.class_names,
        whole.experts,
        whole.scores[rows],
        whole.weights[rows],
        whole.expert_probabilities[rows],
        whole.probabilities[rows],
    )


@pytest.fixture
def columns():
    """A mixture that says cat, one prompt that says dog, and a run that is gone."""
    single = one_picture(1)
    single = replace(single, experts=("prompt",), weights=single.weights[:, :1] * 0 + 1)
    return [
        Column("MoCoOp", "a run", "#111111", one_picture(0)),
        Column("CoOp", "another", "#222222", single),
        Column("gone", "", "#333333", problem="It was deleted."),
    ]


def test_best_classes_and_experts(columns):
    assert columns[0].best == [("cat", pytest.approx(0.9)), ("dog", pytest.approx(0.1))]
    assert [name for name, _ in columns[0].experts] == ["photo", "sketch"]
    assert columns[1].best[0][0] == "dog"
    assert columns[1].experts == []
    assert columns[2].best == columns[2].experts == []


def test_the_table_has_a_row_per_class(columns):
    table = answers_table(columns)
    assert table["method"].tolist() == ["MoCoOp", "MoCoOp", "CoOp", "CoOp"]
    assert table["rank"].tolist() == [1, 2, 1, 2]
    assert table["experts"][0] == "photo 73%, sketch 27%"
    assert table["experts"][2] == ""
    assert list(answers_table([]).columns) == list(table.columns)


def test_how_many_are_right(columns):
    assert in_words(columns, "cat") == "1 of 2 methods is right."
    assert in_words(columns, "cow") == "All 2 methods are wrong."
    assert in_words(columns[:1] * 2, "cat") == "All 2 methods are right."
    assert in_words(columns, None) == "2 methods predict 2 different classes."
    assert in_words(columns[:1] * 3, None) == "All 3 methods predict the same class."
    assert in_words(columns[:1], "cat") == ""
