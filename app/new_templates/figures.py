"""The map of templates: table in, Plotly figure out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.common.plotting import EDGE, plain, transparent
from app.common.theme import NEUTRAL
from app.new_templates import words
from app.new_templates.tables import INDEX, TYPED_INDEX, X, Y

MANY = 1500  # points above which the browser's graphics card draws them
MOST_LEFT = 1000  # templates in no group that are drawn
HEIGHT = 460
KEY_COLUMNS, KEY_ROW = 2, 21  # of the names below the map; pixels of a row
KEY_LETTERS = 40  # of a name there; more would run into the next one


def template_map(
    table: pd.DataFrame,
    colours: Mapping[str, str],
    typed: tuple[str, tuple[float, float]] | None = None,
) -> go.Figure:
    """Returns a map of templates, one colour per group; faint rings are in no group.

    Args:
        table: from `tables.point_table`.
        colours: group → colour.
        typed: a typed prompt and its place (x, y), which gets a cross.
    """
    figure = go.Figure()
    table = drawn(table)
    many = len(table) > MANY
    # Points in no group are drawn first, so that they do not cover those in groups.
    for name, part in sorted(
        table.groupby(words.GROUP, sort=False), key=lambda pair: pair[0] != ""
    ):
        figure.add_trace(_points(part, str(name), colours, many))
    if typed is not None:
        template, place = typed
        figure.add_trace(
            go.Scatter(
                x=[place[0]],
                y=[place[1]],
                mode="markers",
                name=words.TYPED,
                marker={"symbol": "x", "size": 13, "color": NEUTRAL, "line": {"width": 0}},
                customdata=[TYPED_INDEX],
                hovertext=[escape(template)],
                hovertemplate=f"{words.TYPED}<br>%{{hovertext}}<extra></extra>",
            )
        )
    # Names stand below the map: on it they would cover points.
    rows = math.ceil(len(figure.data) / KEY_COLUMNS)
    plain(figure, HEIGHT + KEY_ROW * rows)
    figure.update_layout(
        showlegend=True,
        dragmode="lasso",
        uirevision="templates",
        legend={
            "orientation": "h",
            "x": 0,
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "entrywidth": 0.98 / KEY_COLUMNS,
            "entrywidthmode": "fraction",
            "itemsizing": "constant",
        },
        margin_b=KEY_ROW * rows + 8,
    )
    clear = {"showticklabels": False, "zeroline": False, "showgrid": False, "title": None}
    figure.update_xaxes(**clear)
    return figure.update_yaxes(**clear)


def drawn(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows that the map shows: of many templates in no group only some.

    The same templates are always chosen, spread evenly over the list.

    Args:
        table: from `tables.point_table`.
    """
    left = np.flatnonzero(table[words.GROUP] == "")
    if len(left) <= MOST_LEFT:
        return table
    keep = np.ones(len(table), dtype=bool)
    keep[left] = False
    keep[left[np.linspace(0, len(left) - 1, MOST_LEFT).astype(int)]] = True
    return table[keep]


def _points(
    part: pd.DataFrame, name: str, colours: Mapping[str, str], many: bool
) -> go.Scatter | go.Scattergl:
    """Returns the points of one group; "" is those in no group."""
    chart = go.Scattergl if many else go.Scatter
    grouped = bool(name)
    return chart(
        x=part[X],
        y=part[Y],
        mode="markers",
        name=escape(words.shortened(name, KEY_LETTERS)) or words.IN_NO_GROUP,
        marker={
            "symbol": "circle" if grouped else "circle-open",
            "size": 9 if grouped and not many else 5,
            "color": colours[name] if grouped else transparent(NEUTRAL, 0.7),
            "line": EDGE if grouped and not many else {"width": 1},
        },
        legendrank=1000 if grouped else 1001,  # those in no group come last in the key
        customdata=part[INDEX].tolist(),
        hovertext=[escape(text) for text in part[words.TEMPLATE]],
        hovertemplate=f"{escape(name) or words.IN_NO_GROUP}<br>%{{hovertext}}<extra></extra>",
    )
