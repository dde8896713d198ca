"""The training curves: right numbers, same colours, and no surprise with few records."""

from __future__ import annotations

import math

import pytest

from app.common.theme import expert_colours
from app.train import curves

EXPERTS = ("photo", "sketch", "dark")


def record(epoch: int, **changes):
    values = {
        "epoch": epoch,
        "losses": {} if epoch == 0 else {"total": 9.0, "classification": 2.0, "gate": 1.0 / epoch},
        "train_accuracy": None if epoch == 0 else 50.0 + epoch,
        "val_accuracy": 40.0 + epoch,
        "expert_usage": [0.5, 0.25, 0.25],
        "routing_entropy": 0.9,
    }
    return values | changes


RECORDS = [record(0), record(1), record(2)]


def test_losses_are_drawn_by_term_and_only_those_in_use():
    figure = curves.loss_figure(RECORDS, 20)
    assert [trace.name for trace in figure.data] == ["classification", "gating", "weighted sum"]
    assert [trace.visible for trace in figure.data] == [True, True, "legendonly"]
    assert list(figure.data[1].x) == [1, 2]
    assert list(figure.data[1].y) == [1.0, 0.5]
    assert figure.layout.xaxis.range == (0, 20)


@pytest.mark.parametrize(
    ("losses", "names"),
    [
        ({"classification": 1.0, "total": 1.0}, ["classification"]),
        (
            {"classification": 1.0, "general": 0.1, "total": 1.0},
            ["classification", "divergence from the plain prompt"],
        ),
        (
            {"classification": 1.0, "anchor": 0.1, "total": 1.8},
            ["classification", "distance from the plain prompt", "weighted sum"],
        ),
        (
            {"classification": 1.0, "text": 0.1, "total": 1.5},
            ["classification", "text supervision", "weighted sum"],
        ),
    ],
)
def test_losses_of_every_method_have_plain_names(losses, names):
    figure = curves.loss_figure([record(0), record(1, losses=losses)], 20)
    assert [trace.name for trace in figure.data] == names


def test_accuracy_leaves_out_what_is_unknown():
    figure = curves.accuracy_figure(RECORDS, 20)
    assert [list(trace.x) for trace in figure.data] == [[1, 2], [0, 1, 2]]
    without = [record(epoch, val_accuracy=None) for epoch in range(3)]
    assert [trace.name for trace in curves.accuracy_figure(without, 20).data] == [
        "training images"
    ]


def test_accuracy_fills_its_axis_but_small_changes_stay_small():
    def span(*accuracies):
        records = [
            record(epoch, train_accuracy=None, val_accuracy=value)
            for epoch, value in enumerate(accuracies)
        ]
        return curves.accuracy_figure(records, 9).layout.yaxis.range

    assert span(30.0, 70.0) == (28, 72)
    assert span(56.0, 57.0) == (46.5, 66.5)
    assert span(98.0, 100.0) == (83, 103)
    assert span(1.0, 2.0)[0] == 0


def test_usage_is_stacked_in_the_experts_colours():
    figure = curves.usage_figure(RECORDS, 20, EXPERTS)
    assert [trace.fillcolor for trace in figure.data] == list(expert_colours(EXPERTS).values())
    assert [trace.y[0] for trace in figure.data] == [50.0, 25.0, 25.0]
    assert {trace.stackgroup for trace in figure.data} == {"experts"}


def test_entropy_shows_its_largest_value():
    figure = curves.entropy_figure(RECORDS, 20, 3)
    assert figure.layout.shapes[0].y0 == pytest.approx(math.log(3))


@pytest.mark.parametrize("records", [[], [record(0)]])
def test_figures_bear_a_training_that_has_hardly_begun(records):
    for figure in (
        curves.loss_figure(records, 5),
        curves.accuracy_figure(records, 5),
        curves.usage_figure(records, 5, EXPERTS),
        curves.entropy_figure(records, 0, 3),
    ):
        assert all(len(trace.x) <= len(records) for trace in figure.data)
        assert figure.layout.xaxis.range is not None


def test_zero_shot_is_a_dashed_line_over_all_epochs():
    known = [record(0, zero_shot=31.25), *RECORDS[1:]]
    *_, line = curves.accuracy_figure(known, 20).data
    assert line.name == "zero-shot (validation)"
    assert (list(line.x), list(line.y), line.line.dash) == ([0, 20], [31.25, 31.25], "dash")
    low, high = curves.accuracy_figure(known, 20).layout.yaxis.range
    assert low < 31.25 < high


def test_the_legend_stands_above_the_plot():
    """Its rows have their own room: no curve lies below it."""
    record = {"epoch": 1, "losses": dict.fromkeys(curves.LOSS_NAMES, 1.0)}
    for figure in (
        curves.loss_figure([record], 1),
        curves.loss_figure(
            [record | {"losses": {"classification": 1.0, "text": 1.0, "gate": 1.0, "total": 3.0}}],
            1,
        ),
    ):
        legend, layout = figure.layout.legend, figure.layout
        assert (legend.yref, legend.y, legend.yanchor) == ("container", 1, "top")
        columns = round(1 / legend.entrywidth)
        rows = -(-len(figure.data) // columns)
        assert layout.margin.t >= curves.ROW * rows
        assert layout.height - layout.margin.t == curves.PLOT
