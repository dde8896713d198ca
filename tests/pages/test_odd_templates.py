"""Data, New templates: lists that are odd, and that every change by hand can be undone."""

from __future__ import annotations

import pytest

from app.common import state
from app.new_templates import words
from tests.support.template_pages import (
    groups_of,
    keyed,
    opened,
    pictures_at_hand,
    press,
    said,
    written,
)

pytestmark = pytest.mark.long
LINES = [
    "a dark photo of a {}.", "a dim photo of a {}.", "a black photo of a {}.",
    "a sketch of a {}.", "a line drawing of a {}.", "a pencil drawing of a {}.",
]  # fmt: skip
AS_TEXT = "a :material/home: :red[photo] of a {}."
LATEX = "a $x^2$ drawing of a {}."


@pytest.fixture
def folder(empty_runs, tmp_path, monkeypatch):
    return pictures_at_hand(tmp_path, monkeypatch)


def candidates(app):
    """Returns template → its row in the table of candidates."""
    table = next(d.value for d in app.dataframe if words.WHY in d.value)
    return {row[words.TEMPLATE]: row for _, row in table.iterrows()}


@pytest.mark.parametrize(
    ("lines", "kept", "refused"),
    [
        (["a photo of a {}."], 1, 0),
        (["a photo of a {}."] * 12, 1, 11),
    ],
    ids=["one", "all alike"],
)
def test_lists_without_a_choice_make_one_group(folder, lines, kept, refused):
    """One template, or the same one many times: one group, and the page says why."""
    app = written(opened(folder), lines)
    assert not app.exception, app.exception
    assert f"**{kept}** in a group, **0** in no group, **{refused}** refused." in said(app)
    assert list(groups_of(app, folder).groups.values()) == [("a photo of a {}.",)]
    assert "too few different templates for two groups" in said(app)
    press(app, "Split in two")
    assert "cannot be split" in said(app).replace("\\", "")
    app.number_input(key=keyed(app, words.NUMBER, 0)).set_value(5).run()
    press(app, "Group again")
    assert not app.exception, app.exception
    assert len(groups_of(app, folder).members) == 1


def test_markup_languages_and_class_names(folder):
    """What is refused has its reason and a dash; what is kept is shown as text."""
    app = written(
        opened(folder),
        [*LINES, AS_TEXT, LATEX, "ein gemaltes bild von einem {}.", "写真 {} です",
         "a red cup beside a {}.", "<img src=x onerror=alert(1)> {}", "see http://evil.test/{}"],
    )  # fmt: skip
    assert not app.exception, app.exception
    rows = candidates(app)
    assert rows["a red cup beside a {}."][words.WHY] == "names a class (red cup)"
    for refused in ("<img src=x onerror=alert(1)> {}.", "see http://evil.test/{}."):
        assert rows[refused][words.WHY] == "an address or markup"
        assert rows[refused].isna()[words.ACCURACY]
    marked = {text for text, row in rows.items() if row[words.REMARK]}
    assert {"ein gemaltes bild von einem {}.", "写真 {} です."} <= marked
    kept = {text for text, row in rows.items() if not row[words.WHY]}
    assert all(rows[text][words.ACCURACY] >= 0 for text in kept)
    assert "evil.test" not in said(app)


@pytest.mark.parametrize("change", ["move", "leave out", "rename", "split", "merge", "add"])
def test_every_change_can_be_undone(folder, change):
    """A change makes other groups; Undo brings back the ones before, to the last member."""
    app = written(opened(folder), LINES)
    app.number_input(key=keyed(app, words.NUMBER, 0)).set_value(2).run()
    press(app, "Group again")
    before = groups_of(app, folder)
    first, second = before.members
    if change == "rename":
        box = app.text_input(key=keyed(app, f"{words.NEW_NAME} {first}", 1))
        box.set_value(":material/home: $x$").run()
        press(app, words.RENAME)
        assert list(groups_of(app, folder).members) == [":material/home: $x$", second]
    elif change == "split":
        press(app, words.SPLIT)
        assert len(groups_of(app, folder).members) == 3
    elif change == "merge":
        press(app, words.MERGE)
        assert list(groups_of(app, folder).members) == [second]
    elif change == "add":
        app.text_input(key=state.TYPED).set_value(LATEX).run()
        press(app, words.ADD)
        assert LATEX in groups_of(app, folder).templates
    else:
        moved = before.members[first][0]
        rows = keyed(app, state.MADE_ROWS, 1)
        app.session_state[rows] = {"selection": {"rows": [0], "columns": [], "cells": []}}
        app.run()
        choice = second if change == "move" else words.LEAVE_OUT
        box = next(one for one in app.selectbox if one.label == words.MOVE_TO)
        box.select(choice).run()
        app.session_state[rows] = {"selection": {"rows": [0], "columns": [], "cells": []}}
        press(app, words.MOVE)
        now = groups_of(app, folder).group_of()[moved]
        assert now == (second if change == "move" else "")
    assert not app.exception, app.exception
    press(app, "Undo (2)")
    after = groups_of(app, folder)
    assert after.groups == before.groups
    assert after.templates == before.templates
