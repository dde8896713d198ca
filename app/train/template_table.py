"""The table of template groups on the Train page, and what a visitor changed in it."""

from __future__ import annotations

import zlib

import pandas as pd
import streamlit as st

from app.common import state
from app.common.words import GROUP, TEMPLATES, groups_to_rows
from app.train import setting_words
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset
from mocoop.methods import METHODS

Rows = list[dict[str, object]]


def template_table(config: TrainConfig, dataset: Dataset) -> Rows | None:
    """Returns the rows of the table of template groups; None if the method has no experts."""
    if not METHODS[config.method].is_mixture:
        return None
    st.caption(setting_words.TEMPLATES_CAPTION)
    return _edited_table(config.data, groups_to_rows(dataset.templates.groups))


def _edited_table(data: str, defaults: list[dict[str, str]]) -> Rows:
    """Returns the rows of the edited table; the edits stay when the user leaves the page.

    Rows are kept only where they differ from the data set's own, so that groups that are saved
    with the data set later are in the table of everyone who changed nothing.
    """
    shown, edited = f"{state.TEMPLATES_SHOWN} {data}", f"{state.TEMPLATES_EDITED} {data}"
    resets = f"{state.TEMPLATES_RESETS} {data}"
    memory = st.session_state
    own = zlib.crc32(repr(defaults).encode())  # a table of other groups is another widget
    editor = f"{resets} {memory.get(resets, 0)} {own}"
    if editor not in memory or shown not in memory:  # the page has just been opened
        memory[shown] = memory.get(edited, defaults)
    table = st.data_editor(
        pd.DataFrame(memory[shown], columns=[GROUP, TEMPLATES]),
        key=editor,
        num_rows="dynamic",
        height="content",
        hide_index=True,
        column_config={
            GROUP: st.column_config.TextColumn(width="small", required=True),
            TEMPLATES: st.column_config.TextColumn(width="large", required=True),
        },
    )
    rows: Rows = [{str(name): row[name] for name in row} for row in table.to_dict("records")]
    if rows == defaults:
        memory.pop(edited, None)
    else:
        memory[edited] = rows

    def reset() -> None:
        memory.pop(edited, None)
        memory[resets] = memory.get(resets, 0) + 1

    st.button(setting_words.RESET, icon=":material/restart_alt:", on_click=reset)
    return rows
