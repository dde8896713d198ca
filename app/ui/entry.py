"""The start of every page: it runs inside the app, with what it needs, and says what is newer."""

from __future__ import annotations

import runpy
import threading
import time
from functools import cache
from pathlib import Path

import streamlit as st

from app.common import state
from app.ui import words
from mocoop.slow_imports import import_slow

ROOT = Path(__file__).resolve().parents[2]
CODE = ("app", "mocoop", "pages")
LOOK_SECONDS = 10  # between two looks at the files
STARTED = time.time()
DRAWN = 1.0  # seconds in which a browser draws a page


def inside_the_app() -> None:
    """Starts the whole app if Streamlit has started only a page's file.

    A new server has not yet run `st.navigation`. If the first request is for /routing, Streamlit
    runs the page's file alone and builds another menu from the files in `pages/`.
    """
    if state.ENTERED not in st.session_state:
        runpy.run_path(str(ROOT / "streamlit_app.py"))
        st.stop()


def wait_for_imports() -> None:
    """Imports torch and open_clip, unless that is done: the server keeps them."""
    with st.spinner(words.STARTING):
        import_slow()


@cache
def import_soon() -> None:
    """Starts to import them once the browser has drawn the page, which needs them no sooner."""
    timer = threading.Timer(DRAWN, import_slow)
    timer.daemon = True
    timer.start()


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
