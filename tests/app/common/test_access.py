"""A server that lets its visitors only look."""

from __future__ import annotations

import pytest

from app.common import access
from app.jobs import trainings
from mocoop.errors import UserError
from mocoop.runs.writer import queue_run
from tests.support.page_fixtures import open_page, tiny_config


@pytest.fixture
def only_look(monkeypatch):
    monkeypatch.setenv(access.VARIABLE, "1")


def labels(app):
    return {button.label for button in app.button}


def texts(elements):
    return " ".join(str(element.value) for element in elements)


@pytest.mark.parametrize(("value", "expected"), [("", False), ("0", False), ("TRUE", True)])
def test_the_variable_says_yes_or_no(monkeypatch, value, expected):
    monkeypatch.setenv(access.VARIABLE, value)
    assert access.read_only() is expected
    monkeypatch.setenv(access.VARIABLE, "maybe")
    with pytest.raises(UserError, match="MOCOOP_READ_ONLY must be 1 or 0; got 'maybe'"):
        access.read_only()


def test_nothing_can_be_started_stopped_or_gone_on_with(only_look, empty_runs):
    run = queue_run(empty_runs / "waiting")
    for action in (
        lambda: trainings.start_run(tiny_config()),
        lambda: trainings.cancel_run(run),
        lambda: trainings.resume_run(run),
    ):
        with pytest.raises(UserError, match="read-only demo"):
            action()
    assert [path.name for path in empty_runs.iterdir()] == ["waiting"]


def test_train_page_shows_runs_and_takes_no_path(only_look, one_run, tmp_path):
    app = open_page("pages/train.py", data=str(tmp_path), run=one_run.name)
    assert not app.exception
    assert not app.error
    assert "but not train, change or delete anything" in texts(app.info)
    assert labels(app) == {"See the routing", "See the prompt space"}
    assert not app.selectbox
    assert str(tmp_path) not in texts([*app.markdown, *app.caption, *app.info])


@pytest.mark.parametrize("page", ["home", "train", "routing", "prompt_space"])
def test_empty_pages_ask_for_no_training(only_look, empty_runs, page):
    app = open_page(f"pages/{page}.py")
    assert not app.exception
    assert "here" in texts(app.info)
    assert not any("Train" in label or "Start" in label for label in labels(app))


def test_finished_runs_can_be_looked_at(only_look, one_run):
    for page in ("home", "routing", "prompt_space"):
        app = open_page(f"pages/{page}.py", run=one_run.name)
        assert not app.exception
        assert not app.error
        assert one_run.name in app.selectbox[0].options[0]
        assert "<svg" in texts(app.markdown) if page == "home" else app.get("plotly_chart")
