"""Every page stands inside the app, also the first one that is asked for."""

from __future__ import annotations

import runpy
from pathlib import Path

import streamlit as st

from app.common import state


def inside_the_app() -> None:
    """Starts the whole app if Streamlit has started a page's file by itself.

    A fresh server knows nothing of `st.navigation` yet: asked for /routing first, it takes the
    files in `pages/` for an app of its own, with another menu.
    """
    if state.ENTERED not in st.session_state:
        runpy.run_path(str(Path(__file__).parents[2] / "streamlit_app.py"))
        st.stop()
