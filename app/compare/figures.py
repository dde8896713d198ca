"""Curves of several runs side by side: records in, Plotly figure out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.common.plotting import plain
from app.common.theme import METHOD_COLOURS
from app.compare.words import EPOCH, LOSS, TRAINING, VALIDATION

Records = Sequence[Mapping[str, Any]]
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
HEIGHT = 300


@dataclass(frozen=True)
class Curve:
    """One run's training."""

    name: str
    method: str
    """Key of the method, which determines the colour."""
    records: Records


def training_curves(curves: Sequence[Curve]) -> go.Figure:
    """Returns accuracies and classification loss of every run by epoch, in three panels.

    Args:
        curves: the runs; runs with the same method have the same colour and different dashes.
            Values that a run does not have are left out.
    """
    panels: dict[str, Callable[[Mapping[str, Any]], float | None]] = {
        VALIDATION: lambda record: record["val_accuracy"],
        TRAINING: lambda record: record["train_accuracy"],
        LOSS: lambda record: record["losses"].get("classification"),
    }
    figure = make_subplots(
        rows=1, cols=len(panels), horizontal_spacing=0.07, subplot_titles=list(panels)
    )
    drawn: dict[str, int] = {}
    named: set[int] = set()
    for number, curve in enumerate(curves):
        repeat = drawn.get(curve.method, 0)
        drawn[curve.method] = repeat + 1
        for column, value in enumerate(panels.values(), start=1):
            known = [record for record in curve.records if value(record) is not None]
            if not known:
                continue
            line = _line(curve, known, value, DASHES[repeat % len(DASHES)])
            line.update(legendgroup=str(number), showlegend=number not in named)
            named.add(number)
            figure.add_trace(line, row=1, col=column)
    figure = plain(figure, HEIGHT + 20 * len(curves))
    figure.update_layout(
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "y": -0.26, "yanchor": "top"},
        margin_t=40,
    )
    figure.update_annotations(font_size=14, yshift=4)
    return figure.update_xaxes(title=EPOCH, tickformat="d", rangemode="tozero")


def _line(
    curve: Curve,
    known: Records,
    value: Callable[[Mapping[str, Any]], float | None],
    dash: str,
) -> go.Scatter:
    colour = METHOD_COLOURS[curve.method]
    return go.Scatter(
        x=[record["epoch"] for record in known],
        y=[value(record) for record in known],
        name=curve.name,
        mode="lines" if len(known) > 1 else "markers",  # a line with one point is invisible
        line={"color": colour, "width": 2, "dash": dash},
        marker={"color": colour, "size": 9},
        hovertemplate=f"%{{y:.4g}}<extra>{curve.name}</extra>",
    )
