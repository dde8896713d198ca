"""Maps over a picture: where a tower looks, and what a covered place changes."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.common.plotting import plain, transparent
from app.common.theme import VALIDATION
from app.routing import looking_words as words

HEIGHT = 340  # pixels
FULL = 0.8  # opacity of the colour of the largest value

Values = NDArray[np.floating]


def attention_map(picture: bytes, shares: Values) -> go.Figure:
    """Returns a picture with attention over it: the more colour, the more attention.

    Args:
        picture: a PNG of what the tower sees.
        shares: of all attention, on each patch (rows, columns).
    """
    rows, columns = np.indices(shares.shape) + 1
    heat = go.Heatmap(
        z=100 * shares,
        colorscale=[[0.0, transparent(VALIDATION, 0)], [1.0, transparent(VALIDATION, FULL)]],
        zmin=0,
        zmax=max(100 * float(shares.max()), 1e-9),
        customdata=np.stack([rows, columns], axis=-1),
        hovertemplate=words.ATTENTION_HOVER,
    )
    return _over(picture, heat, shares.shape)


def change_map(picture: bytes, falls: Values, colours: Sequence[str], hover: str) -> go.Figure:
    """Returns a picture with what happens to a number if a place is covered.

    Args:
        picture: a PNG of what the tower sees.
        falls: by how much the number falls with each place covered (rows, columns).
        colours: of places where it falls, and of those where it rises.
        hover: template of the text at the pointer; customdata is the change.
    """
    largest = max(float(np.abs(falls).max()), 1e-9)
    heat = go.Heatmap(
        z=falls,
        colorscale=[
            [0.0, transparent(colours[1], FULL)],
            [0.5, transparent(colours[1], 0)],
            [0.5, transparent(colours[0], 0)],
            [1.0, transparent(colours[0], FULL)],
        ],
        zmin=-largest,
        zmax=largest,
        customdata=-falls,
        hovertemplate=hover,
    )
    return _over(picture, heat, falls.shape)


def map_table(values: Values, name: str) -> pd.DataFrame:
    """Returns a map (rows, columns) as a table with one line per place; counts begin at 1."""
    rows, columns = np.indices(values.shape) + 1
    return pd.DataFrame(
        {words.ROW: rows.ravel(), words.COLUMN: columns.ravel(), name: values.ravel()}
    )


def _over(picture: bytes, heat: go.Heatmap, shape: tuple[int, ...]) -> go.Figure:
    """Returns a heat map that covers a picture, whatever the picture's form is."""
    rows, columns = shape
    heat.update(
        x=(np.arange(columns) + 0.5) / columns,
        y=(np.arange(rows) + 0.5) / rows,
        showscale=False,
        hoverongaps=False,
    )
    figure = plain(go.Figure(heat), HEIGHT)
    figure.add_layout_image(
        source=f"data:image/png;base64,{base64.b64encode(picture).decode()}",
        xref="x", yref="y", x=0, y=0, sizex=1, sizey=1, sizing="stretch", layer="below",
    )  # fmt: skip
    figure.update_layout(margin={"l": 0, "r": 0, "t": 4, "b": 4})
    figure.update_xaxes(visible=False, range=[0, 1], constrain="domain")
    return figure.update_yaxes(
        visible=False, range=[1, 0], scaleanchor="x", scaleratio=1, constrain="domain"
    )
