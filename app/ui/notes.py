"""Notes that the next run of the app shows.

A note of a run that ends with `st.rerun` can be lost: the next run takes its place on the page,
perhaps before a busy browser has drawn it.
"""

from __future__ import annotations

import streamlit as st

from app.common import state
from app.ui.safe_markdown import without_directives


def note_soon(text: str) -> None:
    """Keeps a note, Markdown, until the app runs next; call it before `st.rerun`."""
    st.session_state.setdefault(state.NOTES, []).append(text)


def show_notes() -> None:
    """Shows the notes that the run before has left, for some seconds in a corner of the page."""
    for text in st.session_state.pop(state.NOTES, []):
        st.toast(without_directives(text), icon=":material/check:")
