"""The dialog about a method's recipe: what it shares with the published one, and what not."""

from __future__ import annotations

import streamlit as st

from mocoop.markdown import markdown_table
from mocoop.method_record import Method
from mocoop.published import SAME, compared


@st.dialog("Is this the published recipe?", width="large")
def show_recipe(method: Method) -> None:
    """Shows a method's published recipe beside ours, setting by setting."""
    st.markdown(
        f"With every CLIP but the built-in one, **{method.label}** trains as published, but for "
        "what stands under *ours*. The built-in CLIP is far smaller and has a recipe of its own, "
        "chosen on validation images."
    )
    lines = compared(method)
    different = [line for line in lines if line.ours != SAME]
    equal = [line for line in lines if line.ours == SAME]
    rows = [(line.setting, line.published, line.ours, line.source) for line in different]
    with st.container(height=420, border=False):  # keeps the dialog's end on the screen
        if rows:
            st.markdown(markdown_table(("Setting", "Published", "Ours", "Source"), rows))
        st.markdown("**The same in both**")
        same = [(line.setting, line.published, line.source) for line in equal]
        st.markdown(markdown_table(("Setting", "Value", "Source"), same))
