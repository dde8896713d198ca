"""Training curves: pure functions from a run's records to Plotly figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from app.common.plotting import CLEAR_BAR
from app.common.theme import NEUTRAL, TRAIN, VALIDATION, expert_colours
from app.train.words import ZERO_SHOT

Records = Sequence[Mapping[str, Any]]

LOSS_NAMES = {
    "classification": ("classification", TRAIN),
    "text": ("text supervision", "#6748d8"),
    "gate": ("gating", "#2eb5f1"),
    "anchor": ("distance from the plain prompt", VALIDATION),
    "general": ("divergence from the plain prompt", "#b9303a"),
    "text_consistency": ("texts: distance from frozen ones", "#c98a1b"),
    "image_consistency": ("images: distance from frozen ones", "#2f9e6b"),
    "logit_consistency": ("predictions: divergence from frozen ones", "#a8577e"),
    "total": ("weighted sum", NEUTRAL),
}
PLOT, TALL = 210, 285  # pixels; the legend comes on top of the first
ROW, LONG_NAME = 20, 22  # pixels of a row of the legend; letters that fill half a row
LEAST_SPAN = 20  # percentage points of the accuracy axis, so that small changes look small


def loss_figure(records: Records, epochs: int) -> go.Figure:
    """Returns the mean of each loss term per epoch, without the terms' weights.

    The weighted sum is often many times as large. It appears after a click on its name in the
    legend.
    """
    figure = _figure("loss", epochs)
    trained = [record for record in records if record["losses"]]
    terms = {term for record in trained for term in record["losses"]}
    if terms - {"general"} == {"classification", "total"}:
        terms -= {"total"}  # it equals the classification loss
    for term, (name, colour) in LOSS_NAMES.items():
        if term not in terms:
            continue
        values = [record["losses"].get(term) for record in trained]
        line = _line(_epochs(trained), values, name, colour, ".3f")
        figure.add_trace(line.update(visible="legendonly" if term == "total" else True))
    return _with_legend(figure).update_yaxes(rangemode="tozero")


def accuracy_figure(records: Records, epochs: int) -> go.Figure:
    """Returns training and validation accuracy per epoch in percent, and a zero-shot line.

    The line is on the validation images; records of earlier versions do not know it.
    """
    figure = _figure("% right", epochs)
    for key, name, colour in (
        ("train_accuracy", "training images", TRAIN),
        ("val_accuracy", "validation images", VALIDATION),
    ):
        known = [record for record in records if record[key] is not None]
        if known:
            values = [record[key] for record in known]
            figure.add_trace(_line(_epochs(known), values, name, colour, ".1f"))
    level = records[0].get("zero_shot") if records else None
    if level is not None:
        line = _line([0, max(epochs, 1)], [level] * 2, ZERO_SHOT, NEUTRAL, ".1f")
        figure.add_trace(line.update(line={"dash": "dash", "width": 1.5}))
    values = [value for trace in figure.data for value in trace.y]
    return _with_legend(figure).update_yaxes(range=_percent_range(values), nticks=6)


def _percent_range(values: Sequence[float]) -> list[float]:
    """Returns an axis range around values in percent, at least `LEAST_SPAN` wide, in 0 to 103."""
    if not values:
        return [0.0, 103.0]
    low, high = min(values) - 2, max(values) + 2
    room = max(0.0, LEAST_SPAN - (high - low)) / 2
    low, high = low - room, high + room
    if high > 103:
        low, high = low - (high - 103), 103.0
    return [max(0.0, low), high]


def usage_figure(records: Records, epochs: int, experts: Sequence[str]) -> go.Figure:
    """Returns the experts' shares of the mixture per epoch, stacked to 100 %."""
    figure = _figure("% of the mixture", epochs)
    colours = expert_colours(experts)
    for index, expert in enumerate(experts):
        shares = [100.0 * record["expert_usage"][index] for record in records]
        trace = _line(_epochs(records), shares, expert, colours[expert], ".0f")
        trace.update(stackgroup="experts", line={"width": 0.5}, fillcolor=colours[expert])
        figure.add_trace(trace)
    figure.update_layout(
        legend={"orientation": "v", "x": 1.02, "y": 1, "xanchor": "left", "yanchor": "top"},
        legend_tracegroupgap=0,
        legend_font_size=10,
        margin_t=8,
        height=TALL,  # room for a dozen names
        hovermode="closest",
    )
    return figure.update_yaxes(range=[0, 100], dtick=25)


def entropy_figure(records: Records, epochs: int, num_experts: int) -> go.Figure:
    """Returns the router's mean entropy (in nats) per epoch and its largest possible value."""
    figure = _figure("entropy (0: certain)", epochs)
    largest = math.log(num_experts)
    values = [record["routing_entropy"] for record in records]
    figure.add_trace(_line(_epochs(records), values, "mean entropy", TRAIN, ".2f"))
    figure.add_hline(
        largest,
        line={"dash": "dash", "width": 1, "color": NEUTRAL},
        annotation={"text": "maximum: all experts equally likely", "font": {"size": 11}},
        annotation_position="top right",
    )
    figure.update_layout(showlegend=False, margin_t=8, height=TALL)
    return figure.update_yaxes(range=[0, 1.2 * largest])


def _with_legend(figure: go.Figure) -> go.Figure:
    """Returns the figure with its legend above the plot, in rows that hide no curve."""
    names = [trace.name for trace in figure.data]
    columns = 1 if any(len(name) > LONG_NAME for name in names) else 2
    above = 12 + ROW * math.ceil(len(names) / columns)
    return figure.update_layout(
        height=PLOT + above,
        margin_t=above,
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "entrywidth": 0.98 / columns,
            "entrywidthmode": "fraction",
        },
    )


def _epochs(records: Records) -> list[int]:
    return [record["epoch"] for record in records]


def _line(
    x: Sequence[int],
    y: Sequence[float | None],
    name: str,
    colour: str,
    digits: str,
) -> go.Scatter:
    """Returns a line; a single point gets a marker, because a line would not show it."""
    return go.Scatter(
        x=list(x),
        y=list(y),
        name=name,
        mode="lines" if len(x) > 1 else "lines+markers",
        line={"color": colour, "width": 2},
        hovertemplate=f"%{{y:{digits}}}<extra>{name}</extra>",
    )


def _figure(unit: str, epochs: int) -> go.Figure:
    """Returns an empty figure whose epoch axis already spans the whole training."""
    figure = go.Figure()
    figure.update_layout(
        height=PLOT + ROW,
        margin={"l": 8, "r": 8, "t": 30, "b": 8},
        hovermode="x unified",
        showlegend=True,
        modebar=CLEAR_BAR,
        uirevision="keep",  # zoom and hidden lines stay when a new epoch arrives
    )
    last = max(epochs, 1)
    figure.update_xaxes(
        title={"text": "epoch", "standoff": 4}, range=[0, last], nticks=min(last + 1, 8)
    )
    figure.update_xaxes(tickformat="d")
    return figure.update_yaxes(title={"text": unit, "standoff": 12}, automargin=True)
