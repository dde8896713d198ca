"""The start of every page: it runs inside the app, and slow modules are imported once."""

from __future__ import annotations

import gc
import runpy
import sys
import time
from importlib import import_module
from pathlib import Path

import streamlit as st

from app.common import state
from app.ui import words

SLOW = ("torch", "open_clip")
ROOT = Path(__file__).resolve().parents[2]
CODE = ("app", "mocoop", "pages")
LOOK_SECONDS = 10  # between two looks at the files
STARTED = time.time()


def inside_the_app() -> None:
    """Starts the whole app if Streamlit has started only a page's file.

    A new server has not yet run `st.navigation`. If the first request is for /routing, Streamlit
    runs the page's file alone and builds another menu from the files in `pages/`.
    """
    if state.ENTERED not in st.session_state:
        runpy.run_path(str(ROOT / "streamlit_app.py"))
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


def warn_of_new_code() -> None:
    """Says so if the program was updated since this server was started.

    Pages are read anew at every run, but modules are kept: old and new code may not fit.
    """
    if _newest_code(str(ROOT)) > STARTED:
        st.warning(words.UPDATED, icon=":material/restart_alt:")


@st.cache_data(ttl=LOOK_SECONDS, show_spinner=False)
def _newest_code(root: str) -> float:
    """Returns the time of the last change of the program's files, in seconds since 1970."""
    files = (file for folder in CODE for file in Path(root, folder).rglob("*.py"))
    return max((file.stat().st_mtime for file in files), default=0.0)
