"""The figure of methods side by side: table in, Plotly figure out."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from app.common.plotting import EDGE, plain
from app.common.theme import INTERVAL
from app.compare import words


def accuracy_intervals(table: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Returns the accuracy of every method as a bar with its 95 % interval.

    Args:
        table: from `beside_tables.accuracy_table`.
        colours: method → colour.
    """
    bars = go.Bar(
        x=table["accuracy"],
        y=table["method"],
        orientation="h",
        marker={"color": [colours[name] for name in table["method"]], "line": EDGE},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": table["high"] - table["accuracy"],
            "arrayminus": table["accuracy"] - table["low"],
            "color": INTERVAL,
            "thickness": 2,
            "width": 5,
        },
        customdata=table[["low", "high", "right"]],
        hovertemplate=words.ACCURACY_HOVER,
    )
    numbers = go.Scatter(
        x=table["high"] + 1.5,  # right of the interval, which would otherwise cross the number
        y=table["method"],
        text=[f"{value:.1f}" for value in table["accuracy"]],
        mode="text",
        textposition="middle right",
        hoverinfo="skip",
        showlegend=False,
        cliponaxis=False,
    )
    figure = plain(go.Figure([bars, numbers]), 70 + 34 * len(table))
    figure.update_layout(showlegend=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    ticks = [0, 25, 50, 75, 100]
    return figure.update_xaxes(title=words.PERCENT_RIGHT, range=[0, 112], tickvals=ticks)
