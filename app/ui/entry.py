"""The start of every page: inside the app, with the slow modules imported once."""

from __future__ import annotations

import gc
import runpy
import sys
from importlib import import_module
from pathlib import Path

import streamlit as st

from app.common import state

SLOW = ("torch", "open_clip")


def inside_the_app() -> None:
    """Starts the whole app if Streamlit has started a page's file by itself.

    A fresh server knows nothing of `st.navigation` yet: asked for /routing first, it takes the
    files in `pages/` for an app of its own, with another menu.
    """
    if state.ENTERED not in st.session_state:
        runpy.run_path(str(Path(__file__).parents[2] / "streamlit_app.py"))
        st.stop()


def import_slow_modules() -> None:
    """Imports them, unless they are there.

    Hundreds of thousands of objects come with them and stay for good: looking for garbage among
    them, over and over while they are made, would take a fifth of the time, and 0.2 s whenever it
    is done later.
    """
    if all(name in sys.modules for name in SLOW):
        return
    gc.disable()
    try:
        for name in SLOW:
            import_module(name)
        gc.freeze()
    finally:
        gc.enable()
