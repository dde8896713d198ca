"""Pictures as the pages show them, and the switch that brightens dark ones."""

from __future__ import annotations

import io
from typing import Literal

import streamlit as st
from PIL import Image

from app.common import state
from app.common.brightening import brightened
from app.ui import words


def brighten_switch() -> None:
    """Shows the switch that brightens dark pictures; the session remembers it on all pages."""
    st.toggle(
        words.BRIGHTEN,
        key=state.BRIGHTEN,
        persist_state="session",
        help=words.BRIGHTEN_HELP,
        width="content",
    )


def show_picture(png: bytes, alt: str, width: int | Literal["stretch"] = "stretch") -> None:
    """Shows a picture, brightened if it is dark and the switch is on.

    Args:
        png: the picture as PNG.
        alt: what it shows, for screen readers.
        width: in pixels, or "stretch".
    """
    st.image(to_show(png), width=width, alt=alt)


def to_show(png: bytes) -> bytes:
    """Returns a PNG as it is shown: brightened if it is dark and the switch is on.

    Only what is shown changes. Predictions always use the original picture.
    """
    return bright_png(png) if st.session_state.get(state.BRIGHTEN) else png


@st.cache_data(show_spinner=False, max_entries=1000)
def bright_png(png: bytes) -> bytes:
    """Returns a PNG, made lighter if it is dark."""
    with Image.open(io.BytesIO(png)) as image:
        bright = brightened(image)
    if bright is image:
        return png
    buffer = io.BytesIO()
    bright.save(buffer, "PNG")
    return buffer.getvalue()
