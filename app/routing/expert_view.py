"""The tab that shows one expert's images: most certain, most ambiguous and wrong."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.common import galleries, state
from app.common.methods import experts_in_words
from app.common.theme import expert_colours
from app.routing import view as routing_view
from app.routing import words
from app.ui import layout
from app.ui.pictures import brighten_switch
from app.ui.safe_markdown import as_option
from mocoop.runs.run import RunSetup

EACH = 6  # images in a row


def one_expert(setup: RunSetup, closer: routing_view.Closer, table: pd.DataFrame) -> None:
    """Shows three rows of test images of the expert that the user picks."""
    routed = closer.tested.routed
    experts = routed.experts
    expert = st.pills(
        words.EXPERT,
        experts,
        default=experts[0],
        required=True,
        format_func=as_option,
        key=state.OF_EXPERT,
        bind=state.QUERY,
    )
    _, starts = experts_in_words(routed, setup)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(words.started_from(starts[expert]), width="content")
        brighten_switch()
    colours = expert_colours(experts)
    for kind, rows in galleries.expert_galleries(table, expert).items():
        st.markdown(words.expert_row(kind, len(rows)))
        if rows.empty:
            st.caption(words.NONE)
            continue
        with layout.tiles("card", kind):
            for _, row in rows.head(EACH).iterrows():
                with st.container(border=True, gap="xsmall", height="stretch"):
                    routing_view.card(closer, row, colours, kind)
