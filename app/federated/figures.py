"""Figures of the page Federated: table in, Plotly figure out; readable in light and dark."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app.common.plotting import EDGE, OUTSIDE, plain, transparent
from app.common.theme import NEUTRAL, TRAIN, WRONG
from app.common.words import signed
from app.federated import words

FEW = 24  # columns up to which every cell shows its number


def count_map(counts: pd.DataFrame, hover: str) -> go.Figure:
    """Returns a heat map of counts with the number in each cell; cells with 0 are transparent.

    Args:
        counts: whole numbers.
        hover: Plotly's text for a cell.
    """
    numbers = counts.to_numpy(dtype=float)
    few = counts.shape[1] <= FEW
    heat = go.Heatmap(
        z=counts.where(counts > 0).to_numpy(dtype=float),
        x=list(counts.columns),
        y=list(counts.index),
        # A larger opacity means more, on a light and on a dark page.
        colorscale=[[0.0, transparent(TRAIN, 0.1)], [1.0, transparent(TRAIN, 0.8)]],
        zmin=0,
        zmax=max(1.0, float(numbers.max())),
        xgap=2,
        ygap=2,
        showscale=not few,
        hoverongaps=False,
        hovertemplate=hover,
    )
    figure = plain(go.Figure(heat), 110 + 28 * len(counts))
    if few:
        cells = [
            (column, row, f"{int(counts.loc[row, column])}")
            for row in counts.index
            for column in counts.columns
            if counts.loc[row, column]
        ]
        across, down, texts = zip(*cells, strict=True) if cells else ((), (), ())
        numbers_in_cells = go.Scatter(
            x=across, y=down, text=texts, mode="text", hoverinfo="skip", showlegend=False
        )
        figure.add_trace(numbers_in_cells)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(showgrid=False, tickangle=-40, type="category")


def round_lines(table: pd.DataFrame, marked: str | None) -> go.Figure:
    """Returns accuracy by round: clients are thin lines, their mean is a thick one.

    Args:
        table: from `tables.accuracy_table`.
        marked: a client whose line is coloured, or None.
    """
    figure = go.Figure()
    for name in table.columns:
        is_mean, is_marked = name == words.MEAN, name == marked
        hue = TRAIN if is_mean else WRONG if is_marked else NEUTRAL
        figure.add_trace(
            go.Scatter(
                x=list(table.index),
                y=table[name],
                name=name,
                mode="lines+markers" if is_mean or is_marked else "lines",
                line={
                    "color": hue if is_mean or is_marked else transparent(hue, 0.6),
                    "width": 3 if is_mean or is_marked else 1.2,
                    "dash": "dot" if is_marked else "solid",
                },
                marker={"size": 7, "color": hue, "symbol": "circle" if is_mean else "diamond"},
                showlegend=is_mean or is_marked,
                hovertemplate=words.LINE_HOVER,
            )
        )
    figure = plain(figure, 340)
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.12}, margin_t=40)
    figure.update_yaxes(title=words.PERCENT_RIGHT)
    return figure.update_xaxes(title=words.ROUND, tickformat="d", rangemode="tozero")


def gain_bars(table: pd.DataFrame) -> go.Figure:
    """Returns the gain of each client over training alone; losses are red.

    Args:
        table: from `tables.gains`.
    """
    gain = table[words.GAIN]
    bars = go.Bar(
        x=gain,
        y=table[words.CLIENT],
        orientation="h",
        marker={"color": [TRAIN if value >= 0 else WRONG for value in gain], "line": EDGE},
        text=[signed(value) for value in gain],
        **OUTSIDE,
        customdata=table[[words.BY_ITSELF, words.TOGETHER]].to_numpy(),
        hovertemplate=words.GAIN_HOVER,
    )
    figure = plain(go.Figure(bars), 70 + 26 * len(table))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    reach = max(1.0, float(gain.abs().max()))
    low = -1.25 * reach if (gain < 0).any() else 0.0
    return figure.update_xaxes(title=words.GAIN, range=[low, 1.25 * reach])
