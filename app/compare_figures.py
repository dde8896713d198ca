"""Curves of several runs side by side: records in, Plotly figure out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from app.figures import plain
from app.theme import METHOD_COLOURS

Records = Sequence[Mapping[str, Any]]
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
HEIGHT = 300


@dataclass(frozen=True)
class Curve:
    """One run's training."""

    name: str
    method: str
    """Its key, which has a colour."""
    records: Records


def accuracy_curves(curves: Sequence[Curve], key: str) -> go.Figure:
    """Returns the percent right of every run by epoch; runs that have none are left out.

    Args:
        curves: the runs; those of one method share its colour and differ in their dashes.
        key: val_accuracy or train_accuracy.
    """
    figure = _lines(curves, lambda record: record[key], "%{y:.1f} %")
    return figure.update_yaxes(title="% right")


def loss_curves(curves: Sequence[Curve]) -> go.Figure:
    """Returns the classification loss of every run by epoch, which all methods have."""
    figure = _lines(curves, lambda record: record["losses"].get("classification"), "%{y:.3f}")
    return figure.update_yaxes(title="loss", rangemode="tozero")


def _lines(
    curves: Sequence[Curve], value: Callable[[Mapping[str, Any]], float | None], shown: str
) -> go.Figure:
    figure = go.Figure()
    drawn: dict[str, int] = {}
    for curve in curves:
        place = drawn.get(curve.method, 0)
        drawn[curve.method] = place + 1
        known = [record for record in curve.records if value(record) is not None]
        if not known:
            continue
        colour = METHOD_COLOURS[curve.method]
        figure.add_trace(
            go.Scatter(
                x=[record["epoch"] for record in known],
                y=[value(record) for record in known],
                name=curve.name,
                mode="lines" if len(known) > 1 else "markers",
                line={"color": colour, "width": 2, "dash": DASHES[place % len(DASHES)]},
                marker={"color": colour, "size": 9},
                hovertemplate=f"{shown}<extra>{curve.name}</extra>",
            )
        )
    figure = plain(figure, HEIGHT)
    figure.update_layout(
        hovermode="x unified",
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        margin_t=40,
    )
    return figure.update_xaxes(title="epoch", tickformat="d", rangemode="tozero")
