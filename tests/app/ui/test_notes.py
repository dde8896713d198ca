"""Notes reach the browser even if the run that made them ends at once with another one."""

from __future__ import annotations

import re
from pathlib import Path

from streamlit.testing.v1 import AppTest

from app.common import state
from tests.support.page_fixtures import APP

ROOT = Path(__file__).resolve().parents[3]


def start_of_the_app():
    import streamlit as st

    from app.ui.notes import note_soon, show_notes

    show_notes()
    if st.button("Do it"):
        note_soon("First, :red[without directives].")
        note_soon("Second.")
        st.rerun()


def test_the_next_run_shows_all_notes_once():
    app = AppTest.from_function(start_of_the_app).run()
    app.button[0].click().run()
    assert [note.value for note in app.toast] == ["First, \\:red[without directives].", "Second."]
    assert state.NOTES not in app.session_state
    assert not app.run().toast


def test_the_app_shows_them_before_its_page():
    assert "\n    show_notes()\n    warn_of_new_code()\n    page.run()\n" in APP.read_text()


def test_nothing_else_makes_a_note():
    sources = {path for folder in ("app", "pages") for path in (ROOT / folder).rglob("*.py")}
    makers = {path.name for path in sources | {APP} if re.search(r"\.toast\(", path.read_text())}
    assert makers == {"notes.py"}
