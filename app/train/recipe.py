"""The dialog about a method's recipe: what it shares with the published one, and what not."""

from __future__ import annotations

import streamlit as st

from app.train import setting_words as words
from app.ui.messages import errors_in_words
from mocoop.markdown import markdown_table
from mocoop.method_record import Method
from mocoop.published import SAME, compared


@st.dialog(words.IS_PUBLISHED, width="large")
@errors_in_words()
def show_recipe(method: Method) -> None:
    """Shows a method's published recipe beside ours, setting by setting."""
    st.markdown(words.trains_as_published(method.label))
    lines = compared(method)
    different = [line for line in lines if line.ours != SAME]
    equal = [line for line in lines if line.ours == SAME]
    rows = [(line.setting, line.published, line.ours, line.source) for line in different]
    with st.container(height=420, border=False):  # keeps the dialog's end on the screen
        if rows:
            st.markdown(markdown_table(words.DIFFERENT_COLUMNS, rows))
        st.markdown(words.THE_SAME)
        same = [(line.setting, line.published, line.source) for line in equal]
        st.markdown(markdown_table(words.SAME_COLUMNS, same))
