"""What all figures share: size, margins, transparent backgrounds."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app.common.theme import NEUTRAL, TRAIN

PLOTLY_HEIGHT = 450  # pixels; Plotly's own, if a figure has none
ONE_PANEL, EACH_PANEL = 3.0, 2.0  # greatest width over height: of one panel, of each of several
LEAST_WIDTH = 800  # pixels: a figure that is narrower is never called flat
FAINT = 0.45  # opacity of what was not chosen or is shown only for comparison


# Numbers stand outside their bars. There they have the page's text colour, which is readable on
# a light and on a dark page.
OUTSIDE = {"textposition": "outside", "cliponaxis": False}


# The toolbar of a figure is transparent, and visible on a light and on a dark page.
CLEAR_BAR = {"bgcolor": "rgba(0,0,0,0)", "color": NEUTRAL, "activecolor": TRAIN}
EDGE = {"color": NEUTRAL, "width": 1}  # makes dark bars visible on a dark page
PERCENTS = {"range": [0, 112], "tickvals": [0, 25, 50, 75, 100]}  # leaves room for a number


def room_for_numbers(shares: pd.Series) -> list[float]:
    """Returns an axis range in percent with room for text; it is at least 0 to 50."""
    return [0.0, max(50.0, 125 * float(shares.max()))]


def plain(figure: go.Figure, height: int) -> go.Figure:
    """Returns the figure with a transparent background and small margins."""
    # Plotly's `update_layout` and `update_xaxes` would take three times as long.
    layout, clear = figure.layout, "rgba(0,0,0,0)"
    layout.height = height
    layout.margin = {"l": 8, "r": 8, "t": 12, "b": 8}
    layout.paper_bgcolor = layout.plot_bgcolor = clear
    layout.modebar = CLEAR_BAR
    grid = transparent(NEUTRAL, 0.25)
    for axis in (*figure.select_xaxes(), *figure.select_yaxes()):
        axis.automargin, axis.gridcolor, axis.zeroline = True, grid, False
    return figure


def widest(figure: go.Figure) -> int:
    """Returns the width in pixels above which a figure would be flat, from its height and panels.

    Panels are counted from left to right: two of them may be nearly twice as wide as one.
    """
    starts = {(axis.domain or (0.0, 1.0))[0] for axis in figure.select_xaxes()}
    height = figure.layout.height or PLOTLY_HEIGHT
    panels = max(1, len(starts))
    return max(LEAST_WIDTH, round(height * (ONE_PANEL if panels == 1 else panels * EACH_PANEL)))


def transparent(colour: str, opacity: float) -> str:
    """Returns a hex colour with an opacity as an `rgba(…)` string."""
    red, green, blue = _channels(colour)
    return f"rgba({red},{green},{blue},{opacity})"


def _channels(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
