"""The text that says how the trainings of the Overfitting lab were made."""

from __future__ import annotations

import streamlit as st

from app.lab import experiment_words as words
from app.lab.sliders import own_weights
from app.lab.view import grid
from mocoop.errors import UserError
from mocoop.presets import preset
from mocoop.protocols.lab import COOP, OWN_RATE


def recipe() -> None:
    """Says how the trainings were made, and how that differs from the usual recipes."""
    with st.expander(words.HOW_TRAINED, icon=":material/info:"):
        st.markdown(words.recipe(OWN_RATE, own_weights(), preset(COOP).epochs))
        try:
            known = grid()
        except UserError:
            return
        st.caption(words.trainings(known.axes, len(known.runs)))
