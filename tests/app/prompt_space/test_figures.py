"""The figures of the Prompt space page: what the search marks, and the maps per group."""

from __future__ import annotations

import numpy as np
import pytest

from app.common.theme import expert_colours
from app.prompt_space import figures, key, tables
from app.prompt_space.group_figures import group_maps
from app.ui.figure_page import figure_page
from tests.support.routed_example import CLASSES, GROUPS, small_map

COLOURS = expert_colours(list(GROUPS))


@pytest.fixture
def points():
    return tables.map_table(small_map(), GROUPS, CLASSES)


def opacities(trace):
    return [float(colour.rstrip(")").split(",")[-1]) for colour in trace.marker.color]


@pytest.mark.parametrize("flat", [True, False])
def test_search_fades_all_others_and_rings_its_soft_points(points, flat):
    table = points.drop(columns="z") if flat else points
    shown = tables.shown_points(table, CLASSES, 4)
    plain = figures.prompt_map(shown, "group", COLOURS, table)
    marked = figures.prompt_map(shown, "group", COLOURS, table, ("class", "dog"))
    for before, after in zip(plain.data[1:], marked.data[1:-1], strict=True):
        for was, now, data in zip(
            opacities(before), opacities(after), after.customdata, strict=True
        ):
            assert now == pytest.approx(was if data[2] == "dog" else was * figures.FADED)
    rings = marked.data[-1]
    soft = shown[(shown["kind"] == "soft") & (shown["class"] == "dog")]
    assert list(rings.x) == soft["x"].tolist()
    assert list(rings.text) == list(GROUPS)


def test_hard_prompts_are_open_marks_of_full_strength(points):
    shown = tables.shown_points(points.drop(columns="z"), CLASSES, 4)
    figure = figures.prompt_map(shown, "group", COLOURS, points)
    prototype, hard, soft = figure.data[1:]
    assert hard.marker.symbol == "circle-open"
    assert min(opacities(hard)) > 0.8
    assert len({hard.marker.symbol, prototype.marker.symbol, soft.marker.symbol}) == 3


def test_each_group_has_its_map_on_the_same_axes(points):
    figure = group_maps(points, list(GROUPS), COLOURS, 4)
    assert [note.text for note in figure.layout.annotations] == list(GROUPS)
    assert figure.layout.xaxis.range == figure.layout.xaxis2.range
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range
    stars = [trace for trace in figure.data if trace.marker.symbol == "star"]
    assert [star.marker.color for star in stars] == list(COLOURS.values())
    sketch = points[(points["kind"] == "soft") & (points["group"] == "sketch")]
    assert list(stars[1].x) == pytest.approx(sketch.loc[sketch["epoch"] == 4, "x"].tolist())


def test_frames_follow_the_saved_epochs_and_nothing_starts_by_itself(points):
    figure = group_maps(points, list(GROUPS), COLOURS, 4)
    assert [frame.name for frame in figure.frames] == ["0", "4"]
    for index, last in zip(figure.frames[1].traces, figure.frames[1].data, strict=True):
        whole = figure.data[index]  # it shows epoch 4: a frame replaces like with like
        np.testing.assert_array_equal(whole.x, last.x)
        np.testing.assert_array_equal(whole.y, last.y)
    arrows = [index for index, one in enumerate(figure.data) if one.marker.symbol == "arrow"]
    assert list(figure.data[arrows[0]].marker.size) == [0, 10, 0] * 2  # a head for each way
    before, after = (dict(zip(frame.traces, frame.data, strict=True)) for frame in figure.frames)
    start, end = after[arrows[0] - 1].x[:2]  # the way of the first class
    assert after[arrows[0]].x[:2].tolist() == pytest.approx([start, (start + end) / 2])
    assert np.isnan(after[arrows[0] - 1].x[2])  # no line to the next way
    assert len(before[arrows[0]].x) == 0
    play = figure.layout.updatemenus[0].buttons[0].args
    assert list(play[0]) == ["0", "4"]
    assert play[1]["transition"]["duration"] == 0
    assert "Plotly.animate(" not in figure_page(figure, "maps", "Maps").split("</script>")[-2]


def test_lines_lead_from_each_soft_prompt_to_its_own_prototype(points):
    shuffled = points.sample(frac=1, random_state=0)
    figure = group_maps(shuffled, list(GROUPS), COLOURS, 4)
    dotted = [trace for trace in figure.data if trace.line.dash == "dot"]
    for group, trace in zip(GROUPS, dotted, strict=True):
        own = points[points["group"] == group].set_index("class")
        soft, ends = own[own["epoch"] == 4], own[own["kind"] == "prototype"]
        wanted = [value for name in sorted(CLASSES) for value in (soft.x[name], ends.x[name])]
        drawn = trace.x[~np.isnan(trace.x)]
        assert drawn.tolist() == pytest.approx(wanted)


def test_a_point_says_which_class_it_is(points):
    figure = group_maps(points, list(GROUPS), COLOURS, 4)
    (star, *_) = [trace for trace in figure.data if trace.marker.symbol == "star"]
    own = points[(points["group"] == next(iter(GROUPS))) & (points["epoch"] == 4)]
    where = dict(zip(own["class"], own["x"], strict=True))
    for x, (_, name, _) in zip(star.x, star.customdata, strict=True):
        assert x == pytest.approx(where[name])


def test_one_group_and_one_epoch_need_no_buttons(points):
    one = points[(points["group"] == "photo") & (points["epoch"].isna() | (points["epoch"] == 4))]
    figure = group_maps(one, ["photo"], COLOURS, 4)
    assert not figure.frames
    assert not figure.layout.updatemenus
    assert not figure.layout.annotations


def test_key_lists_names_without_markup_and_says_when_colours_repeat():
    names = ["<b>cat</b>", *(f"class {number}" for number in range(30))]
    colours = figures.class_colours(names)
    said = key.colour_lines(names, colours, {"class 1": b"png"}, "class 2")
    assert "<b>cat</b>" not in said
    assert "&lt;b&gt;cat&lt;/b&gt;" in said
    assert 'alt="class 1"' in said
    assert "<b>class 2</b>" in said
    assert "and 7 more, colours repeat after 12" in said
    assert "✖" in key.marks(True, True)
    assert "✖" not in key.marks(True, False)


def test_what_can_be_found():
    choices = tables.search_choices(["photo", "sketch"], CLASSES)
    assert choices["dog (class)"] == ("class", "dog")
    assert choices["sketch (group)"] == ("group", "sketch")
    assert "prompt (group)" not in tables.search_choices(["prompt"], CLASSES)


def test_only_the_heads_of_the_arrows_are_drawn_as_marks(points):
    """Marks are what a browser spends most of the time on: a way needs two, however long it is."""
    figure = group_maps(points, list(GROUPS), COLOURS, 4)
    for trace in figure.data:
        if trace.marker.symbol == "arrow":
            assert np.count_nonzero(~np.isnan(trace.x)) == 2 * len(CLASSES)
