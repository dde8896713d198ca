"""The map of templates: its names stand beside the points, never on them."""

from __future__ import annotations

import numpy as np

from app.new_templates import words
from app.new_templates.figures import KEY_LETTERS, template_map
from app.new_templates.tables import point_table
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
    names = [trace.name for trace in figure.data]
    assert names == [
        "&lt;i&gt;night&lt;/i&gt;",
        "x" * (KEY_LETTERS - 1) + "…",
        words.IN_NO_GROUP,
        words.TYPED,
    ]
    assert figure.data[-1].hovertext == ("a &lt;b&gt;{}&lt;/b&gt;.",)


def test_every_row_of_names_has_its_room():
    """The key is below the points: more names make the figure higher, not the map smaller."""
    without, with_typed = drawn(), drawn(("a {}.", (0.5, 0.5)))
    assert len(with_typed.data) == len(without.data) + 1 == 4
    for figure in (without, with_typed):
        assert figure.layout.height - figure.layout.margin.b == 452
