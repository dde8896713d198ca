"""Parts that several pages share: the choice of a run, errors in words, tables with files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.caches import runs as run_caches
from app.common import access, state
from app.ui import exports, layout
from mocoop.errors import UserError
from mocoop.runs.run import Run

PICTURES = ("PNG", "SVG")


@contextmanager
def errors_in_words() -> Iterator[None]:
    """Shows what the user can mend as a message; anything else is a bug and is raised."""
    try:
        yield
    except UserError as error:
        st.error(str(error), icon=":material/error:")


def pick_run(what_for: str) -> Run:
    """Returns the finished run that is looked at; without one, says what to do and stops.

    Args:
        what_for: what the page would show, for the empty state.
    """
    runs: dict[str, Run] = {}
    for run in run_caches.finished_runs():
        runs.setdefault(run.name, run)
    if not runs and access.read_only():
        st.info(f"There is no finished run here yet. It would show {what_for}.")
        st.stop()
    if not runs:
        st.info(f"No finished run yet. Train one (about 20 seconds) to see {what_for}.")
        st.page_link("pages/train.py", label="Train a run", icon=":material/model_training:")
        st.stop()
    asked, chosen = st.query_params.get(state.RUN), st.session_state.get(state.RUN)
    if asked not in runs:
        name = chosen if chosen in runs else first_choice(runs)
        if asked is not None:
            st.warning(
                f"The link asks for run {asked!r}, which is not here or not finished. "
                "This is another one."
            )
        st.query_params[state.RUN] = asked = name
    # The address is bound by hand: Streamlit would write the label into it, not the name.
    st.session_state[state.RUN] = asked

    def write() -> None:
        st.query_params[state.RUN] = st.session_state[state.RUN]

    st.selectbox(
        "Run",
        list(runs),
        format_func=run_caches.labels_of(runs).__getitem__,
        key=state.RUN,
        on_change=write,
        width=760,
        label_visibility="collapsed",
    )
    return runs[asked]


def first_choice(runs: dict[str, Run]) -> str:
    """Returns the newest run with several experts, or else the newest run."""
    for name, run in runs.items():
        with suppress(UserError):  # a damaged run is named when it is chosen
            if len(run.setup().experts) > 1:
                return name
    return next(iter(runs))


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
            lambda: exports.figure_page(figure, key, alt),
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
