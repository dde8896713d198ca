"""The sweeps on the Compare page: how far each is, read from its journal."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from app.compare import words
from app.ui.messages import errors_in_words
from mocoop.errors import UserError
from mocoop.sweeps.journal import sweeps

POLL_SECONDS = 2.0


def sweeps_panel() -> None:
    """Shows a line for every sweep; those of a sweep that runs are read again and again."""
    found = sweeps()
    if found:
        running = any(journal.running() for journal in found)
        st.fragment(_lines, run_every=POLL_SECONDS if running else None)()


@errors_in_words()
def _lines() -> None:
    for journal in sweeps():
        with suppress(UserError):  # it was deleted in the meantime, or is just being made
            progress = journal.progress()
            share = min(1.0, progress.done / progress.total) if progress.total else 0.0
            if progress.finished:
                st.caption(words.sweep_line(progress, running=False))
            else:
                st.progress(share, words.sweep_line(progress, journal.running()))
