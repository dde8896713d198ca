"""Containers that adapt to the page's width; assets/app.css contains their layout."""

from __future__ import annotations

from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from mocoop.assets import asset

Kind = Literal["card", "wide", "small"]


def page_style() -> str:
    """Returns the CSS of all pages: assets/app.css, and whether the theme is light or dark.

    Streamlit tells only the page itself which theme it has; dialogs and menus stand beside it.
    """
    css = asset("app.css").read_text()
    theme = st.context.theme.type
    return css if theme is None else f"{css}\nbody {{ color-scheme: {theme}; }}"


def tiles(kind: Kind, name: str) -> DeltaGenerator:
    """Returns a container that places its elements side by side, in as many lines as needed.

    Args:
        kind: the size: a line has at most 6 "card", 4 "wide" or 8 "small" elements.
        name: name of the container, unique on the page.
    """
    return st.container(key=f"tiles-{kind}-{name}")


def wrapping_columns(shares: list[int], name: str) -> list[DeltaGenerator]:
    """Returns columns that are stacked on a narrow page.

    Args:
        shares: relative widths of the columns.
        name: name of the columns, unique on the page.
    """
    with st.container(key=f"wrap-{name}"):
        return st.columns(shares, gap="medium")


def low_line(name: str, side: Literal["left", "right"]) -> DeltaGenerator:
    """Returns a line for small buttons that belong to the element above it.

    Args:
        name: name of the element above, unique on the page.
        side: the side on which the buttons are.
    """
    return st.container(horizontal=True, horizontal_alignment=side, key=f"low-{name}")
