"""What pages must not do again at every run; counted, because seconds depend on the machine."""

from __future__ import annotations

import json

import pytest
import streamlit as st

from app.caches import data as data_caches
from app.caches import data_list
from app.prompt_space import cached
from app.ui import parts
from mocoop.datasets import BUILTIN
from mocoop.datasets.benchmarks import data_root
from tests.support.page_fixtures import open_page
from tests.support.tiny_data import picture_folder


@pytest.fixture
def calls(monkeypatch):
    """A function that counts the calls of a module's function from now on, in a list."""

    def count(module, name):
        done, real = [], getattr(module, name)

        def counted(*given, **named):
            done.append(name)
            return real(*given, **named)

        monkeypatch.setattr(module, name, counted)
        return done

    return count


def test_maps_per_group_are_drawn_once_and_files_only_at_a_click(one_run, calls):
    drawn, files = calls(cached, "group_maps"), calls(parts, "_as_csv")
    app = open_page("pages/prompt_space.py", run=one_run.name)
    assert not app.exception
    app.run()
    assert len(drawn) == 1
    assert not files


def test_a_frame_of_the_maps_per_group_holds_only_what_changes(one_run):
    app = open_page("pages/prompt_space.py", run=one_run.name)
    (spec,) = (
        found
        for chart in app.get("plotly_chart")
        if (found := json.loads(chart.proto.spec)).get("frames")
    )
    changed = [trace for frame in spec["frames"] for trace in frame["data"]]
    assert changed
    assert all(set(trace) == {"type", "x", "y"} for trace in changed)


def test_names_of_data_sets_need_no_data_set(workspace, monkeypatch):
    st.cache_data.clear()

    def fail(*given):
        raise AssertionError("a built-in set was laid out for its name")

    monkeypatch.setattr(data_list, "builtin_state", fail)
    choices = data_list.data_choices()
    assert choices[: len(BUILTIN)] == list(BUILTIN)


def test_the_inventory_has_all_sets(workspace, monkeypatch, tmp_path):
    st.cache_data.clear()
    monkeypatch.setenv("MOCOOP_DATA", str(tmp_path))
    assert data_root() == tmp_path
    states = {one.name: one.state for one in data_list.inventory()}
    assert {name for name, state in states.items() if state == "built in"} == set(BUILTIN)
    ready = [name for name, state in states.items() if state == "ready"]
    assert data_list.data_choices() == [*BUILTIN, *ready]


def test_a_page_of_pictures_looks_for_the_data_set_once(empty_runs, tmp_path, calls):
    """With a thousand classes a look at the folders takes a tenth of a second."""
    asked = calls(data_caches, "data_stamp")
    app = open_page("pages/data.py", data=picture_folder(tmp_path / "own"))
    assert not app.exception
    assert len(app.get("image")) == 9
    assert len(asked) <= 2
