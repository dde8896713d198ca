"""Figures of the Overfitting lab: table in, Plotly figure out; readable in light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.common.plotting import FAINT, OUTSIDE, PERCENTS, plain, transparent
from app.common.theme import METHOD_COLOURS, NEUTRAL
from mocoop.methods import METHODS
from mocoop.protocols.lab import COOP, MOCOOP

TITLES = {"base": "Base classes (trained on)", "new": "New classes (never seen)"}
PANELS = {"train": "Training images"} | TITLES
SCALE = ("#a9dfbf", "#5cbb8a", "#2f8f66", "#1d6b4f", "#124a38")
"""From a small to a large weight; none is the colour of a method."""
HUES = ("#8a6fc9", "#4aa564", "#b58a2b", "#c86fa0", "#5b8a8a")
"""Of data sets; none is the colour of a method of the lab."""
LINE = {"color": NEUTRAL, "dash": "dash", "width": 1.5}


def accuracy_lines(
    table: pd.DataFrame, epoch: int, last: int, start: Mapping[str, float]
) -> go.Figure:
    """Returns accuracy on training images, base and new classes by epoch, up to a given epoch.

    A line is the mean over the seeds; its band is from the lowest to the highest seed.

    Args:
        table: from `tables.epoch_table`.
        epoch: the last epoch that is drawn.
        last: the last epoch on the axis.
        start: half → zero-shot accuracy, drawn as a dashed line.
    """
    figure = _panels("% right", PANELS)
    named = min(start, key=list(PANELS).index, default="")
    for column, half in enumerate(PANELS, start=1):
        if half in start:
            level = [start[half]] * 2
            line = go.Scatter(
                x=[0, last],
                y=level,
                name="Zero-shot",
                legendgroup="zero-shot",
                showlegend=half == named,
                mode="lines",
                line=LINE,
                hovertemplate="%{y:.1f} %<extra>Zero-shot</extra>",
            )
            figure.add_trace(line, row=1, col=column)
        for method, rows in table.groupby("method", sort=False):
            drawn = rows[(rows["epoch"] <= epoch) & rows[half].notna()]
            if (rows["seeds"] > 1).any():
                lower, upper = drawn[f"{half} low"], drawn[f"{half} high"]
                band = _band(str(method), drawn["epoch"], lower, upper)
                figure.add_trace(band, row=1, col=column)
            in_legend = half == "base"  # before the first epoch there is no training accuracy
            line = _line(str(method), drawn["epoch"], drawn[half], in_legend)
            figure.add_trace(line, row=1, col=column)
    # The range is the same for every epoch, so that the lines do not jump during the animation.
    low = float(table[[f"{name} low" for name in PANELS]].min().min())
    high = float(table[[f"{name} high" for name in PANELS]].max().max())
    figure.update_yaxes(range=[low - 2, high + 2])
    figure.update_xaxes(title="epochs trained", range=[0, max(last, 1)], tickformat="d")
    return figure.update_layout(hovermode="x unified", uirevision="accuracy")


def reliability_lines(frame: pd.DataFrame) -> go.Figure:
    """Returns reliability diagrams: accuracy by confidence; perfect calibration is the diagonal.

    Args:
        frame: from `tables.reliability_frame`.
    """
    figure = _halves("% right")
    for column, half in enumerate(TITLES, start=1):
        diagonal = go.Scatter(
            x=[0, 100], y=[0, 100], mode="lines", line=LINE, showlegend=False, hoverinfo="skip"
        )
        figure.add_trace(diagonal, row=1, col=column)
        for method, rows in frame[frame["half"] == half].groupby("method", sort=False):
            line = _line(str(method), rows["confidence"], rows["right"], column == 1)
            # The area of a marker shows the number of images.
            sizes = 4 + 14 * (rows["images"] / rows["images"].max()) ** 0.5
            line.update(
                mode="lines+markers",
                marker={"size": sizes, "color": METHOD_COLOURS[str(method)]},
                customdata=rows["images"],
                hovertemplate="confidence %{x:.0f} %: %{y:.0f} % of %{customdata} images right"
                f"<extra>{METHODS[str(method)].label}</extra>",
            )
            figure.add_trace(line, row=1, col=column)
    figure.update_xaxes(title="confidence, %", range=[0, 104])
    return figure.update_yaxes(range=[0, 104]).update_layout(uirevision="reliability")


def drift_paths(table: pd.DataFrame, epoch: int) -> go.Figure:
    """Returns new-class accuracy against the drift of the prompts, from epoch 0 to an epoch.

    Args:
        table: from `tables.epoch_table`.
        epoch: the epoch at which the paths end, with a marker.
    """
    figure = go.Figure()
    for method, rows in table.groupby("method", sort=False):
        drawn = rows[rows["epoch"] <= epoch]
        line = _line(str(method), drawn["drift new"], drawn["new"], True)
        ends = [0] * (len(drawn) - 1) + [12]
        line.update(
            mode="lines+markers",
            line={"width": 1.5},
            marker={"size": ends, "color": METHOD_COLOURS[str(method)], "opacity": 1},
            customdata=drawn["epoch"],
            hovertemplate="epoch %{customdata}: drift %{x:.3f}, %{y:.1f} % right"
            f"<extra>{METHODS[str(method)].label}</extra>",
        )
        figure.add_trace(line)
    figure = _with_legend(plain(figure, 360))
    low, high = float(table["new"].min()), float(table["new"].max())
    widest = float(table["drift new"].max())
    figure.update_yaxes(title="% right on new classes", range=[low - 2, high + 2])
    figure.update_xaxes(title="drift: 1 − cosine to the hard prompts", range=[0, 1.05 * widest])
    return figure.update_layout(uirevision="drift")


def weight_lines(means: pd.DataFrame) -> go.Figure:
    """Returns mean accuracy by the weight of the text loss, on base and on new classes.

    Args:
        means: from `findings.by_weight`; a method without a text loss is a horizontal line.
    """
    figure = _halves("% right")
    weights = sorted(means["weight"].unique())
    shown = [f"{weight:g}" for weight in weights]
    for column, half in enumerate(TITLES, start=1):
        for method, rows in means[means["half"] == half].groupby("method", sort=False):
            ordered = rows.sort_values("weight")
            level = len(ordered) == 1
            y = [float(ordered["after"].iloc[0])] * len(shown) if level else ordered["after"]
            x = shown if level else [f"{weight:g}" for weight in ordered["weight"]]
            line = _line(str(method), x, y, column == 1)
            line.update(mode="lines" if level else "lines+markers")
            line.line.dash = "dot" if level else "solid"
            figure.add_trace(line, row=1, col=column)
    return figure.update_xaxes(
        title="weight of the text loss", type="category", categoryarray=shown
    )


def scatter(
    table: pd.DataFrame, x: str, y: str, titles: tuple[str, str], colour_by: str = "method"
) -> go.Figure:
    """Returns a scatter plot with one point per row.

    Args:
        table: trainings, from `tables.final_table`, or means over some of them.
        x: column on the horizontal axis.
        y: column on the vertical axis.
        titles: titles of the two axes.
        colour_by: the column that gives the colour: "method" or one of the settings.
    """
    figure = go.Figure()
    for index, (value, rows) in enumerate(table.groupby(colour_by, sort=True)):
        known = colour_by == "method"
        number = pd.api.types.is_number(value)
        hues = SCALE if number else HUES
        colour = METHOD_COLOURS[str(value)] if known else hues[index % len(hues)]
        words = f"{colour_by} {float(str(value)):g}" if number else str(value)
        name = METHODS[str(value)].label if known else words
        figure.add_trace(
            go.Scatter(
                x=rows[x],
                y=rows[y],
                mode="markers",
                name=name,
                marker={"color": colour, "size": 8, "opacity": 0.8},
                customdata=_settings(rows),
                hovertemplate=f"%{{customdata}}<br>%{{x:.3g}}, %{{y:.1f}}<extra>{name}</extra>",
            )
        )
    figure = _with_legend(plain(figure, 360))
    return figure.update_xaxes(title=titles[0]).update_yaxes(title=titles[1])


def _settings(rows: pd.DataFrame) -> list[str]:
    """Returns the settings of trainings, or of means over them, in words."""
    named = {
        "data": "{}",
        "shots": "{} per class",
        "rate": "rate {:g}",
        "weight": "text weight {:g}",
        "seed": "seed {}",
    }
    known = [name for name in named if name in rows]
    columns = (rows[name] for name in known)
    return [
        " · ".join(named[name].format(value) for name, value in zip(known, values, strict=True))
        for values in zip(*columns, strict=True)
    ]


def change_bars(changes: pd.DataFrame) -> go.Figure:
    """Returns bars of points gained or lost by set, on base and on new classes.

    Args:
        changes: from `findings.coop_changes`.
    """
    figure = go.Figure()
    for half, opacity in (("base", 1.0), ("new", FAINT)):
        rows = changes[changes["half"] == half]
        bars = go.Bar(
            x=rows["data"],
            y=rows["change"],
            name=f"{half} classes",
            marker_color=transparent(METHOD_COLOURS[COOP], opacity),
            text=[f"{value:+.1f}".replace("-", "−") for value in rows["change"]],
            **OUTSIDE,
            hovertemplate="%{x}: %{y:+.1f} points<extra></extra>",
        )
        figure.add_trace(bars)
    figure = _with_legend(plain(figure, 340))
    low, high = min(0.0, float(changes["change"].min())), float(changes["change"].max())
    figure.update_yaxes(title="points gained or lost", range=[low - 5, max(high, 0.0) + 6])
    return figure.add_hline(0, line=LINE)


def way_bars(ways: Mapping[str, float], chosen: str) -> go.Figure:
    """Returns accuracies of ways to use the experts; one of them is highlighted.

    Args:
        ways: name of the way → accuracy in percent.
        chosen: the name of the highlighted way.
    """
    hues = [METHOD_COLOURS[MOCOOP] if name == chosen else NEUTRAL for name in ways]
    bars = go.Bar(
        x=list(ways.values()),
        y=list(ways),
        orientation="h",
        marker_color=hues,
        text=[f"{value:.1f}" for value in ways.values()],
        **OUTSIDE,
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
    )
    figure = plain(go.Figure(bars), 60 + 36 * len(ways))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(title="% right, mean", **PERCENTS)


def _line(method: str, x: Iterable[Any], y: Iterable[float], in_legend: bool) -> go.Scatter:
    name, points = METHODS[method].label, list(x)
    return go.Scatter(
        x=points,
        y=list(y),
        name=name,
        legendgroup=method,
        showlegend=in_legend,
        mode="lines" if len(points) > 1 else "markers",  # a line with one point is invisible
        line={"color": METHOD_COLOURS[method], "width": 2.5},
        marker={"color": METHOD_COLOURS[method], "size": 8},
        hovertemplate=f"%{{y:.1f}} %<extra>{name}</extra>",
    )


def _band(method: str, x: pd.Series, lower: pd.Series, upper: pd.Series) -> go.Scatter:
    """Returns the area between two lines, in a method's colour."""
    return go.Scatter(
        x=[*x, *x[::-1]],
        y=[*upper, *lower[::-1]],
        fill="toself",
        fillcolor=transparent(METHOD_COLOURS[method], 0.15),
        line={"width": 0},
        mode="lines",
        legendgroup=method,
        hoverinfo="skip",
        showlegend=False,
    )


def _halves(unit: str) -> go.Figure:
    """Returns two empty panels, base and new, with the same vertical axis."""
    return _panels(unit, TITLES)


def _panels(unit: str, titles: Mapping[str, str]) -> go.Figure:
    """Returns empty panels side by side with the same vertical axis."""
    figure = make_subplots(
        rows=1,
        cols=len(titles),
        shared_yaxes=True,
        horizontal_spacing=0.04,
        subplot_titles=list(titles.values()),
    )
    figure = _with_legend(plain(figure, 360))
    figure.update_layout(margin_t=70)
    figure.update_annotations(font_size=14, yshift=4)
    figure.update_yaxes(title=unit, row=1, col=1)
    return figure


def _with_legend(figure: go.Figure) -> go.Figure:
    return figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.1, "yanchor": "bottom"},
        margin_t=44,
    )
