"""The start of every page: it runs inside the app, and slow modules are imported once."""

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
    """Starts the whole app if Streamlit has started only a page's file.

    A new server has not yet run `st.navigation`. If the first request is for /routing, Streamlit
    runs the page's file alone and builds another menu from the files in `pages/`.
    """
    if state.ENTERED not in st.session_state:
        runpy.run_path(str(Path(__file__).parents[2] / "streamlit_app.py"))
        st.stop()


def import_slow_modules() -> None:
    """Imports the slow modules if they are not imported yet.

    They create hundreds of thousands of objects that are never freed. The garbage collector is
    off during the import, where it would take a fifth of the time. Afterwards the objects are
    frozen, because every later full collection would take 0.2 s to look through them.
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
