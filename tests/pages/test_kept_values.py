"""What the server and the session keep, and what changed since: pages show what is there now."""

from __future__ import annotations

import shutil
import subprocess
import sys

from app.caches import run_list
from app.common import state
from app.common.words import CHECK, data_label
from app.data import words as data_words
from app.new_templates import words
from mocoop.presets import preset
from mocoop.runs.status import INTERRUPTED, QUEUED
from mocoop.runs.writer import hand_over, queue_run
from mocoop.storage.atomic import write_json
from tests.support.page_fixtures import open_page
from tests.support.template_pages import keyed, opened, pictures_at_hand, press, written
from tests.support.tiny_data import picture_folder

LINES = [
    "a dark photo of a {}.", "a dim photo of a {}.", "a black photo of a {}.",
    "a sketch of a {}.", "a line drawing of a {}.", "a pencil drawing of a {}.",
]  # fmt: skip


def test_a_killed_training_is_interrupted_in_the_table_of_runs(one_run, empty_runs):
    """No file changes when a process is killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        run = queue_run(empty_runs / "killed")
        write_json(run.path / "request.json", preset("mocoop").to_dict())
        hand_over(run, child.pid)
        app = open_page("pages/compare.py")
        assert state_of(app, "killed") == QUEUED
        child.kill()
    app.run()
    assert not app.exception
    assert state_of(app, "killed") == INTERRUPTED


def state_of(app, run):
    return app.dataframe[0].value.set_index("run").loc[run, "state"]


def test_other_templates_begin_with_nothing_selected(empty_runs, tmp_path, monkeypatch):
    """Rows and numbers of the templates before would mean others, or none."""
    app = written(opened(pictures_at_hand(tmp_path, monkeypatch)), LINES)
    app.number_input(key=keyed(app, words.NUMBER, 0)).set_value(5)
    last = {"selection": {"rows": [len(LINES) - 1], "columns": [], "cells": []}}
    app.session_state[keyed(app, state.MADE_ROWS, 0)] = last
    app.run()
    assert words.selected(1) in [caption.value for caption in app.caption]
    app = written(app, LINES[:2])
    assert not app.exception, app.exception
    assert words.SELECT in [caption.value for caption in app.caption]
    assert app.number_input(key=keyed(app, words.NUMBER, 0)).value <= 2


def test_the_menu_has_an_uploaded_set_only_once(empty_runs, tmp_path, monkeypatch):
    """Uploads and runs know its whole path; by default the menu has it from `data` on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOCOOP_DATA", raising=False)
    own = picture_folder(tmp_path / "data/uploads/own")
    app = open_page("pages/data.py")
    app.session_state[state.DATA_NEXT] = own
    app.run()
    assert not app.exception
    assert app.selectbox(key=state.DATA).value == "data/uploads/own"
    assert data_label(own) == data_label("data/uploads/own") == "own (uploaded)"


def test_every_page_shows_the_same_of_two_runs_of_one_name(one_run, tmp_path):
    """An exported run that came with the project can be imported under its own name."""
    shutil.copytree(one_run.path, tmp_path / "shipped" / one_run.name)
    (run,) = run_list.finished_runs()
    assert run == one_run


def test_a_check_says_nothing_of_images_that_were_added(empty_runs, tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_DATA", str(tmp_path))
    own = picture_folder(tmp_path / "uploads/own")
    app = open_page("pages/data.py", data=own, look_at=CHECK)
    press(app, data_words.OPEN_EVERY)
    assert [one.value for one in app.success] == [data_words.ALL_READABLE]
    (tmp_path / "uploads/own/test/red cup/new.png").write_bytes(b"no picture")
    app.run()
    assert not app.success
    press(app, data_words.OPEN_EVERY)
    assert not app.success
    assert "test/red cup/new.png" in app.dataframe[0].value["image"].tolist()
