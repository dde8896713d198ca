"""The Data page: size, images and problems of a data set; upload of the user's own images."""

from __future__ import annotations

import streamlit as st

from app.caches import data as data_caches
from app.common import state
from app.common.words import CHECK
from app.data import edit_view, words
from app.data import view as data_view
from app.new_templates.view import new_templates
from app.ui.data_picker import pick_data
from app.ui.entry import inside_the_app
from app.ui.glossary import words_on_this_page
from app.ui.messages import errors_in_words


def page() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width=430):
            name = pick_data()
        data_view.upload()
        with st.container(key="like-button", width="content"):  # styled by assets/app.css
            st.page_link(
                "pages/train.py", label=words.TRAIN_ON_IT, icon=":material/model_training:"
            )
    dataset = data_caches.dataset(name)
    data_view.overview(dataset)
    parts = {
        words.PICTURES: lambda: data_view.gallery(dataset),
        words.CLASSES: lambda: edit_view.classes(dataset),
        words.TEMPLATES: lambda: edit_view.templates(name, dataset),
        words.NEW_TEMPLATES: lambda: new_templates(name, dataset),
        CHECK: lambda: edit_view.whole(name, dataset),
    }
    tabs = st.tabs(list(parts), key=state.DATA_VIEW, bind=state.QUERY)
    for tab, show in zip(tabs, parts.values(), strict=True):
        if tab.open:
            with tab, errors_in_words():
                show()


inside_the_app()
st.title(words.TITLE)
with st.container(horizontal=True, vertical_alignment="center"):
    st.caption(words.CAPTION, width="content")
    words_on_this_page(*words.TERMS)
with errors_in_words():
    page()
with st.expander(words.ALL_SETS), errors_in_words():
    data_view.all_sets()
