"""The map of templates: its names stand beside the points, never on them."""

from __future__ import annotations

import numpy as np

from app.new_templates import words
from app.new_templates.figures import KEY_LETTERS, MOST_LEFT, template_map
from app.new_templates.figures import drawn as drawn_rows
from app.new_templates.tables import INDEX, point_table
from mocoop.template_making.editing import EditedGroups

LONG = "x" * 60


def drawn(typed=None):
    vectors = np.eye(4)
    templates = tuple(f"a {word} {{}}." for word in ("red", "blue", "<b>", "$x^2$"))
    edited = EditedGroups(templates, vectors, {"<i>night</i>": (0, 2), LONG: (1,)})
    table = point_table(edited, np.eye(2, 4))
    return template_map(table, {"<i>night</i>": "#112233", LONG: "#445566"}, typed)


def test_names_are_in_the_key_and_not_on_the_map():
    """No label lies on the map; a long name is cut in the key; markup is text."""
    figure = drawn(("a <b>{}</b>.", (0.5, 0.5)))
    assert not figure.layout.annotations
    assert figure.layout.showlegend
    in_key = sorted(figure.data, key=lambda trace: trace.legendrank or 1000)
    last = in_key.pop()  # the typed prompt comes before those in no group
    assert last.name == words.IN_NO_GROUP == figure.data[0].name  # drawn first, under the others
    assert [trace.name for trace in in_key] == [
        "&lt;i&gt;night&lt;/i&gt;",
        "x" * (KEY_LETTERS - 1) + "…",
        words.TYPED,
    ]
    assert figure.data[-1].hovertext == ("a &lt;b&gt;{}&lt;/b&gt;.",)


def test_of_many_points_in_no_group_only_some_are_drawn():
    """Every template in a group is drawn; the rest is thinned out evenly."""
    count = 5000
    vectors = np.random.default_rng(1).normal(size=(count, 3))
    templates = tuple(f"a {number} {{}}." for number in range(count))
    edited = EditedGroups(templates, vectors, {"night": tuple(range(0, count, 100))})
    table = point_table(edited, np.eye(2, 3))
    shown = drawn_rows(table)
    groups = shown[words.GROUP].value_counts()
    assert groups.to_dict() == {"": MOST_LEFT, "night": 50}
    assert len(template_map(table, {"night": "#112233"}).data[0].x) == MOST_LEFT
    left = shown[shown[words.GROUP] == ""]
    assert left[INDEX].diff().dropna().between(1, 7).all()
    few = table.head(900)
    assert drawn_rows(few) is few


def test_every_row_of_names_has_its_room():
    """The key is below the points: more names make the figure higher, not the map smaller."""
    without, with_typed = drawn(), drawn(("a {}.", (0.5, 0.5)))
    assert len(with_typed.data) == len(without.data) + 1 == 4
    for figure in (without, with_typed):
        assert figure.layout.height - figure.layout.margin.b == 452
