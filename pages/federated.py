"""The Federated page: clients that keep their pictures and train prompts together."""

from __future__ import annotations

import streamlit as st

from app.common import access
from app.federated import view, words
from app.federated.start_view import queue_panel, start_panel
from app.ui.entry import inside_the_app
from app.ui.glossary import words_on_this_page
from app.ui.layout import wrapping_columns
from app.ui.messages import errors_in_words


def page() -> None:
    queue_panel()
    found = view.all_federations()
    if not found:
        st.info(words.NONE_TO_SEE if access.read_only() else words.NONE_HERE)
        return
    shown = view.pick_federation(found)
    view.facts(shown)
    with errors_in_words():
        view.holdings(shown)
    if not view.has_records(shown.records):
        return
    left, right = wrapping_columns([3, 2], "federated")
    with left:
        view.by_round(shown)
    with right:
        view.gain(shown, found)
    view.prompts_of_others(shown)


inside_the_app()
st.title(words.TITLE)
with st.container(horizontal=True, vertical_alignment="center"):
    st.caption(words.CAPTION, width="content")
    words_on_this_page("client", "round", "FedAvg", "soft prompt", "expert", "router", "point")
with errors_in_words():
    page()
start_panel()
