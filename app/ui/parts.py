"""Parts that several pages share: figures and tables that can be saved."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.common import state
from app.common.plotting import widest
from app.ui import layout, words
from app.ui.figure_page import figure_page
from mocoop.csv_cells import csv_cell

PICTURES = ("PNG", "SVG")
# Streamlit (1.67) leaves out pages of two, three or four, as if there were no room for them.
ROOM_FOR_PAGES = {2: 190, 3: 280, 4: 280}  # number of pages → pixels


def show_figure(
    figure: go.Figure,
    key: str,
    alt: str = "",
    table: pd.DataFrame | None = None,
    index: bool = False,
    **options: Any,
) -> Any:
    """Shows a figure with a menu that saves it, and returns what the user selected in it.

    On a wide page it is no wider than suits its height.

    Args:
        figure: the figure.
        key: the figure's key on the page and the name of its files.
        alt: text that says what the figure shows, for screen readers; by default the key.
        table: the figure's numbers, to be saved as CSV.
        index: whether the CSV file contains the table's index.
        options: passed on to `st.plotly_chart`.
    """
    alt = alt or key.replace("-", " ")
    picture = f"{state.PICTURE} {key}"
    format_ = st.session_state.get(picture) or PICTURES[0]
    named = {"filename": key, "scale": 2, "format": format_.lower()}
    config = {"displaylogo": False, "toImageButtonOptions": named}
    together = st.container(gap=None, width=widest(figure))
    with together:
        shown = st.plotly_chart(figure, key=key, config=config, alt=alt, **options)
    with (
        together,
        layout.low_line(key, "right"),
        st.popover(words.SAVE, icon=":material/download:", type="tertiary"),
    ):
        if table is not None:
            csv_button(table, key, index)
        st.download_button(
            words.HTML_PAGE,
            lambda: figure_page(figure, key, alt),
            f"{key}.html",
            "text/html",
            key=f"page-{key}",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
        )
        st.segmented_control(words.CAMERA, PICTURES, default=PICTURES[0], key=picture)
    return shown


def show_table(table: pd.DataFrame, name: str, **options: Any) -> None:
    """Shows a table with a button that downloads it as CSV."""
    with st.container(gap="xxsmall"):
        st.dataframe(table, hide_index=options.pop("hide_index", True), **options)
        with layout.low_line(name, "left"):
            csv_button(table, name)


def pick_page(pages: int, key: str) -> int:
    """Returns the page that the user chose, 1 to `pages`; it is also in the address."""
    if pages <= 1:
        return 1
    width: int | Literal["content"] = ROOM_FOR_PAGES.get(pages, "content")
    return min(st.pagination(pages, key=key, bind=state.QUERY, width=width), pages)


def csv_button(table: pd.DataFrame, name: str, index: bool = False) -> None:
    """Shows the button that downloads a table as `name`.csv; the file is made at a click."""
    st.download_button(
        words.CSV,
        lambda: _as_csv(table, index),
        f"{name}.csv",
        "text/csv",
        key=f"download-{name}",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
    )


def _as_csv(table: pd.DataFrame, index: bool) -> bytes:
    """Returns a table as CSV, whose cells no spreadsheet takes for formulas."""
    safe = table.reset_index() if index else table
    safe = safe.map(csv_cell).rename(columns=csv_cell)
    return safe.to_csv(index=False).encode()
