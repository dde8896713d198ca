"""Pages say what they load, after their title; a choice made by code leaves no warning."""

from __future__ import annotations

import pytest
import streamlit as st

from app.caches import runs as run_caches
from app.common import state
from tests.support.page_fixtures import open_page


@pytest.mark.parametrize("page", ["routing", "prompt_space"])
def test_title_comes_first_and_then_what_is_loaded(one_run, monkeypatch, page):
    told: list[str] = []
    title, spinner, open_images = st.title, st.spinner, run_caches.routed_test_items

    def tell(kind, real):
        def call(*args, **options):
            told.append(f"{kind}: {args[0]}")
            return real(*args, **options)

        return call

    monkeypatch.setattr(st, "title", tell("title", title))
    monkeypatch.setattr(st, "spinner", tell("spinner", spinner))
    monkeypatch.setattr(run_caches, "routed_test_items", tell("load", open_images))
    told.clear()
    app = open_page(f"pages/{page}.py", run=one_run.name)
    assert not app.exception
    told = told[next(i for i, one in enumerate(told) if one.startswith("title: ")) :]
    (said,) = [one for one in told if one.startswith("spinner: Loading the CLIP")]
    assert "Loading the CLIP demo and the test images of details." in said
    first_load = next(i for i, one in enumerate(told) if one.startswith("load: "))
    assert told.index(said) < first_load


@pytest.mark.long
def test_a_point_chosen_by_a_click_has_no_default_beside_it(one_run, monkeypatch):
    """Streamlit warns of a widget with a default whose value is set by code."""
    options = []
    real = st.delta_generator.DeltaGenerator.selectbox

    def record(self, *args, **named):
        options.append((named.get("key"), named.get("index", 0)))
        return real(self, *args, **named)

    monkeypatch.setattr(st.delta_generator.DeltaGenerator, "selectbox", record)
    setup = one_run.setup()
    query = {"look_expert": setup.experts[2], "look_class": setup.class_names[4]}
    app = open_page("pages/prompt_space.py", run=one_run.name, **query)
    assert not app.exception
    assert (state.MAP_EXPERT, 0) in options
    assert (state.MAP_CLASS, 0) in options
    assert app.selectbox(key=state.MAP_CLASS).value == setup.class_names[4]
    app = open_page("pages/prompt_space.py", run=one_run.name, look_class="no such class")
    assert not app.exception
    assert app.selectbox(key=state.MAP_CLASS).value in setup.class_names
