"""A select box whose choice stands in the address, where code may choose too."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator


def linked_choice(options: Sequence[str], key: str, first: str) -> str:
    """Returns the choice that the address holds under a key, or else the first choice."""
    asked = st.query_params.get(key)
    return asked if asked is not None and asked in options else first


def linked_select(
    place: DeltaGenerator, label: str, options: Sequence[str], key: str, first: str
) -> str:
    """Shows a select box and returns its choice.

    Streamlit's own `bind` does not fit where a callback chooses as well, say after a click in a
    figure: Streamlit warns of a widget with a default whose value is set by code. Such a callback
    writes into `st.query_params[key]`.

    Args:
        place: where the box is shown.
        label: of the box.
        options: what can be chosen.
        key: of the widget and in the address.
        first: the choice if the address has none.
    """
    st.session_state[key] = linked_choice(options, key, first)

    def write() -> None:
        st.query_params[key] = st.session_state[key]

    chosen: str = place.selectbox(label, options, key=key, on_change=write)
    return chosen
