"""Data, New templates: written, grouped, changed by hand, used; and what goes wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.common import access, state
from app.jobs import template_jobs
from app.jobs.template_worker import LINES, MODEL
from app.new_templates import words
from mocoop.datasets.edits import read_edits
from mocoop.errors import UserError
from tests.support.chat_server import Behaviour, running_chat
from tests.support.template_pages import (
    groups_of,
    keyed,
    make_here,
    opened,
    pictures_at_hand,
    press,
    said,
    written,
)

KEY = "sk-very-secret-0123456789"
SAID = [
    "a dark photo of a {}.", "a dim photo of a {}.", "a black photo of a {}.",
    "a sketch of a {}.", "a line drawing of a {}.", "a pencil drawing of a {}.",
    "ein gemaltes bild von einem {} im wald.", "a red cup beside a {}.",
    "<b>a {}</b>", "see http://example.com/{} now.", "a {} and a {}.",
]  # fmt: skip


@pytest.fixture
def folder(empty_runs, tmp_path, monkeypatch):
    return pictures_at_hand(tmp_path, monkeypatch)


@pytest.mark.long
def test_own_lines_become_groups_that_are_changed_and_used(folder):
    """Refused ones have their reason; every change can be undone; the groups reach Train."""
    app = written(opened(folder), SAID)
    assert not app.exception, app.exception
    table = next(d.value for d in app.dataframe if words.WHY in d.value)
    results = table[words.CHECKED].value_counts()
    counts = {name: int(results.get(name, 0)) for name in ("in a group", "in no group", "refused")}
    assert ", ".join(f"**{count}** {name}" for name, count in counts.items()) in said(app)
    assert counts["in a group"] > 0
    assert (table[words.WHY] != "").sum() == counts["refused"] == 4
    reasons = dict(zip(table[words.TEMPLATE], table[words.WHY], strict=True))
    assert reasons["a red cup beside a {}."] == "names a class (red cup)"
    assert reasons["<b>a {}</b>."] == "an address or markup"
    assert (table[words.REMARK] == words.OTHER_LANGUAGE).sum() == 1
    six = next(d.value for d in app.dataframe if words.OF_TRUE in d.value)
    before = groups_of(app, folder)
    assert len(six) == 6 * len(before.members)

    app.number_input(key=keyed(app, words.NUMBER, 0)).set_value(2).run()
    press(app, "Group again")
    first, second = groups_of(app, folder).members
    box = app.text_input(key=keyed(app, f"{words.NEW_NAME} {first}", 1))
    box.set_value("by <i>night</i>").run()
    press(app, "Rename")
    assert list(groups_of(app, folder).members) == ["by <i>night</i>", second]
    press(app, "Split in two")
    assert len(groups_of(app, folder).members) == 3
    press(app, "Undo (3)")
    press(app, "Merge")
    assert list(groups_of(app, folder).members) == [second]
    press(app, "Undo (3)")
    app.text_input(key=state.TYPED).set_value("a moody photo of a {}.").run()
    assert "is nearest to the group" in said(app)
    six = next(d.value for d in app.dataframe if words.OF_TRUE in d.value)
    assert (six[words.GROUPS_SIX] == words.TYPED).sum() == 6
    press(app, words.ADD)
    assert not app.exception, app.exception
    now = groups_of(app, folder).groups
    assert sum(map(len, now.values())) == 8  # seven that passed the checks, and the typed one
    app.text_input(key=state.TYPED).set_value("a green leaf near a {}.").run()
    assert "It cannot join a group: names a class" in said(app)

    press(app, words.SAVE)
    assert dict(read_edits_of(folder)) == now
    assert "Saved in `mocoop.yaml`" in said(app)
    press(app, words.TRAIN)
    assert not app.exception
    assert "3 classes, 2 experts" in said(app)


def read_edits_of(folder):
    return read_edits(Path(folder)).groups


def test_what_goes_wrong_is_said(folder, monkeypatch):
    """No name, a wrong key, nonsense, no endpoint, other machines, too many, all refused."""
    monkeypatch.setenv("MOCOOP_CHAT_KEY", KEY)
    app = opened(folder)
    app.segmented_control(key=state.MADE_WRITER).set_value(MODEL).run()
    assert KEY not in said(app)
    press(app, "Write templates")
    assert "Name the chat model" in said(app)
    with running_chat() as (server, url):
        server.script.append(Behaviour("bad key " + KEY, status=401))
        app.text_input(key=state.MADE_MODEL).set_value("stand-in").run()
        app.text_input(key=state.MADE_URL).set_value(url).run()
        press(app, "Write templates")
        assert "does not let you in with this key" in said(app).replace("\\", "")
        app.number_input(key=state.MADE_SEED).set_value(2).run()
        server.script += [Behaviour("I like cats.")] * 21
        press(app, "Write templates")
        assert "21 answers have no template in them" in said(app)
        app.number_input(key=state.MADE_SEED).set_value(3).run()
        press(app, "Write templates")
        assert not app.exception
        assert not app.error
        assert "in a group" in said(app)
    stored = Path(template_jobs._folder("")).rglob("*")
    assert not [file for file in stored if file.is_file() and KEY.encode() in file.read_bytes()]
    key = app.query_params[state.MADE]
    asked = template_jobs.request_of(key)
    for changes, words_ in (
        ({"url": "http://127.0.0.1:9/v1", "model": "m"}, "No chat model answers"),
        ({"writer": LINES, "lines": "a cup and a {}.\na red cup {}."}, "All 2 candidates were"),
    ):
        status = template_jobs.status_of(make_here(replace(asked, **changes), "127.0.0.1"))
        assert words_ in status.message
    one = make_here(replace(asked, writer=LINES, lines="a photo of a {}."), "127.0.0.1")
    assert list(template_jobs.result_of(one).document["groups"].values()) == [["a photo of a {}."]]
    for changes, words_ in (
        ({"writer": LINES, "lines": "a {}.\n" * 10_001}, "at most 10,000"),
        ({"writer": LINES, "lines": " "}, "There is no template"),
        ({"url": "ftp://x"}, "Address: expected an address"),
        ({"url": "http://me:secret@x/v1"}, "must not hold a user"),
    ):
        with pytest.raises(UserError, match=words_):
            template_jobs.check_request(replace(asked, **changes), "127.0.0.1")


def test_who_may_have_a_model_asked(monkeypatch):
    """A server that others reach sends its key only where its owner says."""
    access.check_endpoint("http://any/v1", "127.0.0.1")
    for url in ("", "http://any/v1"):
        with pytest.raises(UserError, match="only at the address that its owner sets"):
            access.check_endpoint(url, None)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://own/v1/")
    access.check_endpoint("http://own/v1", None)
    access.check_endpoint("", "0.0.0.0")
    with pytest.raises(UserError, match="only at the address that its owner sets"):
        access.check_endpoint("http://any/v1", None)
    monkeypatch.setenv("MOCOOP_READ_ONLY", "1")
    with pytest.raises(UserError, match="read-only demo"):
        access.check_endpoint("", "127.0.0.1")
