"""What every figure shares: size, margins, colours that let the page through."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app.common.theme import NEUTRAL, TRAIN

FAINT = 0.45  # opacity of what is not chosen or only for comparison


# Beside its bar a number has the page's own colour, which is read in light and in dark.
OUTSIDE = {"textposition": "outside", "cliponaxis": False}


# The tools that appear over a figure cover nothing, and show in light and in dark.
CLEAR_BAR = {"bgcolor": "rgba(0,0,0,0)", "color": NEUTRAL, "activecolor": TRAIN}
EDGE = {"color": NEUTRAL, "width": 1}  # shows the ends of what is dark on a dark page
PERCENTS = {"range": [0, 112], "tickvals": [0, 25, 50, 75, 100]}  # with room for a number


def room_for_numbers(shares: pd.Series) -> list[float]:
    """Returns a range of percent with room for text, never narrower than 0 to 50."""
    return [0.0, max(50.0, 125 * float(shares.max()))]


def plain(figure: go.Figure, height: int) -> go.Figure:
    """Returns the figure with a clear background and small margins, for light and dark."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 12, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        modebar=CLEAR_BAR,
    )
    figure.update_xaxes(automargin=True, gridcolor=see_through(NEUTRAL, 0.25), zeroline=False)
    return figure.update_yaxes(
        automargin=True, gridcolor=see_through(NEUTRAL, 0.25), zeroline=False
    )


def see_through(colour: str, opacity: float) -> str:
    """Returns a hex colour as rgba text."""
    red, green, blue = _channels(colour)
    return f"rgba({red},{green},{blue},{opacity})"


def _channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
