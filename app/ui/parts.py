"""Parts that several pages share: errors in words, figures and tables that can be saved."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.common import state
from app.ui import layout
from mocoop.errors import UserError

PICTURES = ("PNG", "SVG")


# In the page, Plotly itself saves the figure, so that nothing has to be installed for it.
_BUTTONS = """
for (const format of ["png", "svg"]) {
  const button = document.createElement("button");
  button.textContent = "Save as " + format.toUpperCase();
  button.style.margin = "8px";
  const options = {format: format, filename: NAME, scale: 2};
  button.onclick = () => Plotly.downloadImage("{plot_id}", options);
  document.body.prepend(button);
}
"""


@contextmanager
def errors_in_words() -> Iterator[None]:
    """Shows what the user can mend as a message; anything else is a bug and is raised."""
    try:
        yield
    except UserError as error:
        st.error(str(error), icon=":material/error:")


def show_figure(
    figure: go.Figure,
    key: str,
    alt: str = "",
    table: pd.DataFrame | None = None,
    index: bool = False,
    **options: Any,
) -> Any:
    """Shows a figure with a menu that saves it, and returns what was selected.

    Args:
        figure: the figure.
        key: its name on the page and of its files.
        alt: what it shows, in words, for those who cannot see it; by default its name.
        table: its numbers, to be saved as CSV.
        index: whether the table's index is part of the file.
        options: for `st.plotly_chart`.
    """
    alt = alt or key.replace("-", " ")
    picture = f"{state.PICTURE} {key}"
    format_ = st.session_state.get(picture) or PICTURES[0]
    named = {"filename": key, "scale": 2, "format": format_.lower()}
    config = {"displaylogo": False, "toImageButtonOptions": named}
    together = st.container(gap=None)
    with together:
        shown = st.plotly_chart(figure, key=key, config=config, alt=alt, **options)
    with (
        together,
        layout.low_line(key, "right"),
        st.popover("Save", icon=":material/download:", type="tertiary"),
    ):
        if table is not None:
            csv_button(table, key, index)
        st.download_button(
            "HTML: a page of its own, which also saves PNG and SVG",
            lambda: figure_page(figure, key, alt),
            f"{key}.html",
            "text/html",
            key=f"page-{key}",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
        )
        st.segmented_control(
            "The camera above the figure saves", PICTURES, default=PICTURES[0], key=picture
        )
    return shown


def show_table(table: pd.DataFrame, name: str, **options: Any) -> None:
    """Shows a table with a button that downloads it as CSV."""
    with st.container(gap="xxsmall"):
        st.dataframe(table, hide_index=options.pop("hide_index", True), **options)
        with layout.low_line(name, "left"):
            csv_button(table, name)


def csv_button(table: pd.DataFrame, name: str, index: bool = False) -> None:
    """Shows the button that downloads a table as `name`.csv."""
    st.download_button(
        "CSV",
        table.to_csv(index=index).encode(),
        f"{name}.csv",
        "text/csv",
        key=f"download-{name}",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
    )


def figure_page(figure: go.Figure, name: str, title: str) -> str:
    """Returns a figure as a whole page that needs no network, with buttons for PNG and SVG.

    Args:
        figure: the figure.
        name: of the files that the buttons save, without suffix.
        title: what the figure shows, in words.
    """
    page: str = figure.to_html(
        include_plotlyjs=True,
        full_html=True,
        default_width="100%",
        config={"displaylogo": False, "responsive": True},
        post_script=_BUTTONS.replace("NAME", json.dumps(name)),
    )
    return page.replace("<head>", f"<head><title>{html.escape(title)}</title>", 1)
