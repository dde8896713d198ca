"""Figures: table in, Plotly figure out, on a clear ground, in the experts' colours."""

from __future__ import annotations

import numpy as np
import pytest

from app.common import galleries, plotting
from app.common.theme import NEUTRAL, TRAIN, WRONG, expert_colours
from app.prompt_space import figures as space_figures
from app.prompt_space import tables as space_tables
from app.routing import figures, tables
from app.ui import chips
from mocoop.analysis.drift import Drift
from mocoop.evaluation.routing_value import RoutingValue
from tests.support.routed_example import CLASSES, EXPERTS, GROUPS, routed_items

COLOURS = expert_colours(EXPERTS)


@pytest.fixture
def found():
    return routed_items()


@pytest.fixture
def all_figures(found, projection):
    routed = found.routed
    gallery = galleries.gallery_table(found)
    counts = tables.expert_counts(gallery, "true", EXPERTS, CLASSES)
    value = RoutingValue(60, 59, 50, 57, "dark", "validation", 70, 1, 1, {})
    points = space_tables.map_table(projection, GROUPS, CLASSES)
    drift = space_tables.drift_frame([Drift(0, 0, 1, 1, 0), Drift(0, 5, 0.8, 1, 0)], EXPERTS)
    flat = points.drop(columns="z")
    return {
        "usage": figures.usage_bars(tables.usage_table(found), COLOURS),
        "scores": figures.score_bars(tables.experts_table(routed, 0), COLOURS),
        "moved": figures.moved_bars(tables.share_table(routed, routed), COLOURS),
        "classes": figures.class_bars(tables.top_classes(routed, 1), "cat"),
        "counts": figures.count_map(counts, "class"),
        "value": figures.routing_value_bars(tables.routing_value_table(value)),
        "confusion": figures.confusion_map(tables.confusion_table({"cat": {"dog": 1}}, CLASSES)),
        "mistakes": figures.mistake_bars(tables.mistakes_table({"cat": {"dog": 1}})),
        "accuracy": figures.accuracy_bars(tables.accuracy_by(gallery, "true")),
        "drift": space_figures.drift_lines(drift, COLOURS),
        "map": space_figures.prompt_map(
            space_tables.shown_points(flat, CLASSES, 4), "group", COLOURS, flat
        ),
        "map 3-D": space_figures.prompt_map(
            space_tables.shown_points(points, CLASSES, 4),
            "class",
            space_figures.class_colours(CLASSES),
            points,
        ),
    }


def test_all_have_a_clear_ground_and_fixed_height(all_figures):
    for name, figure in all_figures.items():
        assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)", name
        assert figure.layout.plot_bgcolor == "rgba(0,0,0,0)", name
        assert figure.layout.height > 100, name
        figure.to_json()


def test_experts_keep_their_colours(all_figures):
    expected = [COLOURS[name] for name in EXPERTS]
    assert list(all_figures["usage"].data[0].marker.color) == expected
    assert list(all_figures["scores"].data[0].marker.color)[:2] == expected[:2]
    assert list(all_figures["moved"].data[0].marker.color) == expected


def test_only_chosen_experts_are_full_and_carry_their_weight(all_figures):
    bars = all_figures["scores"].data[0]
    assert bars.marker.color[2] == plotting.transparent(COLOURS["dark"], plotting.FAINT)
    assert bars.marker.line.width == 1  # its end shows on a page of nearly its colour
    assert list(bars.text) == ["weight 73%", "weight 27%", ""]


def test_the_true_class_stands_out(all_figures):
    bars = all_figures["classes"].data[0]
    assert dict(zip(bars.y, bars.marker.color, strict=True)) == {"dog": NEUTRAL, "cat": TRAIN}


def test_zero_counts_stay_clear(all_figures):
    heat = all_figures["counts"].data[0]
    assert heat.z[2][0] != heat.z[2][0]  # not a number: no cell is drawn
    assert heat.z[2][1] == 1
    assert heat.zmax == 1


def test_more_is_stronger_on_a_light_and_on_a_dark_page(all_figures):
    heat, numbers = all_figures["counts"].data
    few, many = (float(colour.split(",")[-1].rstrip(")")) for _, colour in heat.colorscale)
    assert few < 0.2 < 0.7 < many  # opacities of one hue
    assert numbers.mode == "text"
    assert numbers.textfont.color is None  # the page's own
    assert all(int(text) > 0 for text in numbers.text)


def test_numbers_stand_outside_their_bars(all_figures):
    for name in ("classes", "value", "scores", "moved"):
        bars = all_figures[name].data[0]
        assert bars.textposition == "outside", name
        low, high = all_figures[name].layout.xaxis.range
        assert low == 0, name
        assert high >= 1.1 * max(bars.x), name


def test_the_tools_over_a_figure_hide_nothing(all_figures):
    for name, figure in all_figures.items():
        assert figure.layout.modebar.bgcolor == "rgba(0,0,0,0)", name


def test_grey_bars_stand_only_for_a_change(found):
    routed = found.routed
    table = tables.share_table(routed, routed)
    same = figures.moved_bars(table, COLOURS)
    assert same.data[1].marker.color == "rgba(0,0,0,0)"
    assert "before" not in same.layout.xaxis.title.text
    moved = figures.moved_bars(table.assign(after=[0.1, 0.2, 0.7]), COLOURS)
    assert moved.data[1].marker.color != "rgba(0,0,0,0)"
    assert "grey: before" in moved.layout.xaxis.title.text


def test_the_map_joins_each_soft_point_to_its_prototype(all_figures):
    for name in ("map", "map 3-D"):
        lines, *points = all_figures[name].data
        assert len(lines.x) == 3 * 4  # two ends and a gap for each soft point
        assert list(lines.x[2::3]) == [None] * 4
        assert [trace.name for trace in points] == ["prototype", "hard prompt", "soft prompt"]
        soft = points[2]
        assert list(soft.x) == list(lines.x[0::3])
        assert {row[2] for row in soft.customdata} == set(CLASSES)


def test_the_axes_stay_the_same_over_epochs(projection):
    table = space_tables.map_table(projection, GROUPS, CLASSES).drop(columns="z")
    ranges = {
        space_figures.prompt_map(
            space_tables.shown_points(table, CLASSES, epoch), "group", COLOURS, table
        ).layout.xaxis.range
        for epoch in (0, 4)
    }
    assert len(ranges) == 1


def test_chips_escape_names():
    html = chips.expert_chips([("<b>x</b>", 0.7), ("y", 0.3)], {"<b>x</b>": "#000000", "y": TRAIN})
    assert "&lt;b&gt;x&lt;/b&gt; 70%" in html
    assert "<b>x" not in html
    assert "true class: &lt;i&gt;" in chips.verdict("a", 0.5, "<i>")
    assert "✓" in chips.verdict("a", 0.5, "a")


def test_confusions_are_blue_where_right_and_red_where_wrong():
    counts = tables.confusion_table({"cat": {"cat": 3, "dog": 1}, "dog": {"dog": 2}}, CLASSES)
    assert counts.to_numpy().tolist() == [[3, 1], [0, 2]]
    right, wrong, numbers = figures.confusion_map(counts).data
    assert np.nan_to_num(right.z).tolist() == [[3, 0], [0, 2]]
    assert np.nan_to_num(wrong.z).tolist() == [[0, 1], [0, 0]]
    assert (right.zmax, wrong.zmax) == (3, 1)
    assert plotting.transparent(TRAIN, 0.8) in str(right.colorscale)
    assert plotting.transparent(WRONG, 0.8) in str(wrong.colorscale)
    assert list(numbers.text) == ["3", "1", "2"]


def test_confusions_without_a_mistake_still_have_a_figure():
    counts = tables.confusion_table({"cat": {"cat": 3}}, ("cat", "cat", "dog"))
    assert list(counts.columns) == ["cat", "cat (2)", "dog"]
    figure = figures.confusion_map(counts)
    assert figure.data[1].zmax == 1
    figure.to_json()


def test_mistakes_are_named_by_both_classes():
    table = tables.mistakes_table({"a": {"a": 9, "b": 1, "c": 4}, "b": {"a": 2}})
    assert table["images"].tolist() == [4, 2, 1]
    bars = figures.mistake_bars(table).data[0]
    assert list(bars.y) == ["a → c", "b → a", "a → b"]
    assert tables.mistakes_table({"a": {"a": 9}}).empty
