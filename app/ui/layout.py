"""Containers that suit the page's width, whatever it is; assets/app.css lays them out."""

from __future__ import annotations

from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

Kind = Literal["card", "wide", "small"]


def tiles(kind: Kind, name: str) -> DeltaGenerator:
    """Returns a container whose elements stand beside each other, in as many lines as it takes.

    Args:
        kind: how large: at most 6 cards, 4 wide ones or 12 small ones in a line.
        name: of these tiles, once on a page.
    """
    return st.container(key=f"tiles-{kind}-{name}")


def wrapping_columns(shares: list[int], name: str) -> list[DeltaGenerator]:
    """Returns columns that go below each other on a narrow page.

    Args:
        shares: of the width.
        name: of these columns, once on a page.
    """
    with st.container(key=f"wrap-{name}"):
        return st.columns(shares, gap="medium")


def low_line(name: str, side: Literal["left", "right"]) -> DeltaGenerator:
    """Returns a line for small buttons that belong to what stands above it.

    Args:
        name: of what stands above, once on a page.
        side: where the buttons stand.
    """
    return st.container(horizontal=True, horizontal_alignment=side, key=f"low-{name}")
