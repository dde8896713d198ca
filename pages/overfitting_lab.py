"""The Overfitting lab page: watch prompts learn and forget, and lessons."""

from __future__ import annotations

import streamlit as st

from app.common import state
from app.lab import experiment_words as words
from app.lab import view
from app.lab.lesson_view import lessons
from app.lab.player import player
from app.lab.recipe import recipe
from app.lab.sliders import pick_settings
from app.lab.tabs import EXPERIMENT, LESSON_TAB, LESSON_TAB_BEFORE
from app.ui.entry import inside_the_app
from app.ui.messages import errors_in_words


def experiment() -> None:
    chosen = pick_settings()
    # These parts come and go. In a container they do not move what is below: a slider that
    # Streamlit (1.67) draws anew in another position no longer writes into the address.
    with st.container():
        view.ready_line(chosen[0].data)
        found = view.find(chosen)
        view.missing_panel(found, chosen[0].data)
        shown = view.nearest_ready(found, chosen)
        if shown != chosen:
            st.info(words.nearest(shown), icon=":material/info:")
            found = view.find(shown)
    if found.runs:
        player(found, shown)
    st.caption(words.ONLY_FOR_LOOKING)
    recipe()


inside_the_app()
st.title(words.TITLE)
if st.query_params.get(state.LAB_TAB) == LESSON_TAB_BEFORE:
    st.query_params[state.LAB_TAB] = LESSON_TAB
    st.rerun()
names = (EXPERIMENT, LESSON_TAB)
tabs = dict(zip(names, st.tabs(names, key=state.LAB_TAB, bind=state.QUERY), strict=True))
if tabs[EXPERIMENT].open:
    with tabs[EXPERIMENT], errors_in_words():
        st.caption(words.CAPTION)
        experiment()
if not tabs[EXPERIMENT].open:
    st.session_state[state.LAB_PLAYING] = False  # nobody sees the animation any more
if tabs[LESSON_TAB].open:
    with tabs[LESSON_TAB], errors_in_words():
        lessons()
