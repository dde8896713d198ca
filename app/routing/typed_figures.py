"""Figures for a typed prompt and for an edited group: table in, Plotly figure out."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from app.common.plotting import EDGE, FAINT, OUTSIDE, PERCENTS, plain, transparent
from app.common.theme import NEUTRAL, TRAIN
from app.routing import figure_words as words
from app.routing.typed_tables import PLAIN, TYPED


def part_bars(table: pd.DataFrame) -> go.Figure:
    """Returns the accuracy of both prompts on every part of the test images.

    Args:
        table: from `typed_tables.parts_table`.
    """
    bars = [
        _bars(table["part"], table[name], name, colour)
        for name, colour in ((TYPED, TRAIN), (PLAIN, transparent(NEUTRAL, FAINT)))
    ]
    figure = plain(go.Figure(bars), 80 + 40 * len(table))
    figure.update_layout(
        barmode="group",
        bargap=0.25,
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        margin_t=30,
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(**PERCENTS, title=words.PERCENT_RIGHT)


def target_bars(table: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Returns the share of images that the target sends to each group, before (grey) and after.

    Args:
        table: from `typed_tables.target_table`.
        colours: expert → colour.
    """
    before = _bars(table["expert"], table["before"], words.BEFORE, transparent(NEUTRAL, FAINT))
    after = _bars(table["expert"], table["after"], words.NOW, NEUTRAL)
    after.marker.color = [colours[name] for name in table["expert"]]
    figure = plain(go.Figure([after, before]), 60 + 30 * len(table))
    figure.update_layout(barmode="group", bargap=0.25, showlegend=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    largest = float(table[["before", "after"]].to_numpy().max())
    return figure.update_xaxes(title=words.TARGET, range=[0, max(20.0, 1.2 * largest)])


def _bars(names: pd.Series, values: pd.Series, called: str, colour: str) -> go.Bar:
    return go.Bar(
        x=values,
        y=names,
        orientation="h",
        name=called,
        marker={"color": colour, "line": EDGE},
        text=[f"{value:.0f}" for value in values],
        **OUTSIDE,
        hovertemplate=words.bar_hover(called),
    )
