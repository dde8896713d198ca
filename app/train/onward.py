"""Where the Train page leads on to: the comparison with other runs, the check of the images."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.common import state
from app.common.words import BESIDE, CHECK
from app.train import panel_words as words
from mocoop.config import TrainConfig
from mocoop.features.cache import WHERE_TO_LEAVE_OUT

MOST_COMPARED = 5


def comparable(name: str, finished: Mapping[str, TrainConfig]) -> list[str]:
    """Returns a run's name and those of the newest others on the same images and classes.

    Args:
        name: the run.
        finished: name → settings of all finished runs, newest first; the run is one of them.
    """
    own = finished[name]
    others = [
        other
        for other, config in finished.items()
        if other != name and (config.data, config.classes) == (own.data, own.classes)
    ]
    return [name, *others][:MOST_COMPARED]


def compare_button(name: str, finished: Mapping[str, TrainConfig]) -> None:
    """Shows a button that opens a run side by side with others, if there are any."""
    names = comparable(name, finished)
    if len(names) > 1 and st.button(words.COMPARE, icon=":material/table_chart:"):
        st.switch_page(
            "pages/compare.py", query_params={state.PICKED: names, state.COMPARE_VIEW: BESIDE}
        )


def check_link(config: TrainConfig | None, message: str) -> None:
    """Shows a link to the check of the images, if a run stopped because some cannot be read."""
    if config is not None and WHERE_TO_LEAVE_OUT in message:
        st.page_link(
            "pages/data.py",
            label=words.CHECK_IMAGES,
            icon=":material/fact_check:",
            query_params={state.DATA: config.data, state.DATA_VIEW: CHECK},
        )
