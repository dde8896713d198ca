"""Figures of the Routing page: table in, Plotly figure out; readable in light and dark."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.common.plotting import (
    EDGE,
    FAINT,
    OUTSIDE,
    PERCENTS,
    plain,
    room_for_numbers,
    transparent,
)
from app.common.theme import NEUTRAL, TRAIN, WRONG
from app.routing import figure_words as words

FEW_IMAGES = 6


def usage_bars(table: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Returns the share of images per expert: first choice in full colour, also chosen faint."""
    hues = [colours[name] for name in table["expert"]]
    first = go.Bar(
        x=table["expert"],
        y=table["first choice"],
        name=words.FIRST_CHOICE,
        marker={"color": hues, "line": EDGE},
        hovertemplate=words.FIRST_CHOICE_HOVER,
    )
    also = go.Bar(
        x=table["expert"],
        y=table["chosen"] - table["first choice"],
        name=words.ALSO_CHOSEN,
        marker={"color": [transparent(hue, FAINT) for hue in hues], "line": EDGE},
        customdata=table["chosen"],
        hovertemplate=words.ALSO_CHOSEN_HOVER,
    )
    figure = plain(go.Figure([first, also]), 180)
    figure.update_layout(barmode="stack", showlegend=False)
    return figure.update_yaxes(title=words.PERCENT_OF_IMAGES, rangemode="tozero")


def score_bars(table: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Returns the router's share of every expert for one image; chosen experts are not faint.

    Args:
        table: from `tables.experts_table`.
        colours: expert → colour.
    """
    chosen = table["weight"] > 0
    bars = go.Bar(
        x=100 * table["share"],
        y=table["expert"],
        orientation="h",
        marker={
            "color": [
                colours[name] if is_chosen else transparent(colours[name], FAINT)
                for name, is_chosen in zip(table["expert"], chosen, strict=True)
            ],
            "line": EDGE,
        },
        text=_weights(table),
        **OUTSIDE,
        customdata=table["score"],
        hovertemplate=words.PREFERENCE_HOVER,
    )
    figure = plain(go.Figure(bars), 70 + 24 * len(table))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(title=words.PREFERENCE, range=room_for_numbers(table["share"]))


def moved_bars(table: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Returns the router's share of every expert before (grey) and after a change.

    Args:
        table: from `tables.share_table`.
        colours: expert → colour.
    """
    hues = [colours[name] for name in table["expert"]]
    moved = bool((table["before"] != table["after"]).any())
    grey = {"color": transparent(NEUTRAL, FAINT), "line": EDGE}
    before = go.Bar(
        x=100 * table["before"],
        y=table["expert"],
        orientation="h",
        name=words.BEFORE,
        # Without a change it would only repeat the other bar, so it is invisible.
        marker=grey if moved else {"color": "rgba(0,0,0,0)"},
        hovertemplate=words.BEFORE_HOVER if moved else None,
        hoverinfo=None if moved else "skip",
    )
    after = go.Bar(
        x=100 * table["after"],
        y=table["expert"],
        orientation="h",
        name=words.NOW,
        marker={"color": hues, "line": EDGE},
        text=_weights(table),
        **OUTSIDE,
        hovertemplate=words.NOW_HOVER,
    )
    figure = plain(go.Figure([after, before]), 70 + 34 * len(table))
    figure.update_layout(barmode="group", bargap=0.25, bargroupgap=0, showlegend=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    largest = table[["before", "after"]].max(axis=1)
    title = words.PREFERENCE_MOVED if moved else words.PREFERENCE
    return figure.update_xaxes(title=title, range=room_for_numbers(largest))


def class_bars(table: pd.DataFrame, true: str | None = None) -> go.Figure:
    """Returns the most probable classes; the true class, if known, has a colour of its own."""
    known = {True: TRAIN, False: NEUTRAL}
    names = table["class"]
    hues = [TRAIN if true is None else known[name == true] for name in names]
    bars = go.Bar(
        x=100 * table["probability"],
        y=names,
        orientation="h",
        marker_color=hues,
        text=[f"{p:.0%}" for p in table["probability"]],
        **OUTSIDE,
        hovertemplate=words.PERCENT_HOVER,
    )
    figure = plain(go.Figure(bars), 60 + 26 * len(table))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(**PERCENTS, title=words.PROBABILITY)


def count_map(counts: pd.DataFrame, of: str) -> go.Figure:
    """Returns a heat map of numbers of images; experts are rows, styles or classes columns.

    Args:
        counts: from `tables.expert_counts`.
        of: "style" or "class", for the hover text.
    """
    shown = counts.where(counts > 0)  # cells with 0 images stay transparent
    few = counts.shape[1] <= 24
    heat = go.Heatmap(
        z=shown.to_numpy(dtype=float),
        x=list(counts.columns),
        y=list(counts.index),
        # A larger opacity means more images, on a light and on a dark page.
        colorscale=[[0.0, transparent(TRAIN, 0.1)], [1.0, transparent(TRAIN, 0.8)]],
        zmin=0,
        zmax=max(1, int(counts.to_numpy().max())),
        xgap=2,
        ygap=2,
        showscale=not few,
        hoverongaps=False,
        hovertemplate=words.count_hover(of),
    )
    traces = [heat, _cell_numbers(counts)] if few else [heat]
    figure = plain(go.Figure(traces), 110 + 30 * len(counts))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(showgrid=False, tickangle=-40)


def confusion_map(counts: pd.DataFrame) -> go.Figure:
    """Returns a heat map of images: true classes down, predicted ones across.

    What is right is blue and what is wrong is red, each by its own largest number: beside the
    many right ones, mistakes would otherwise be too faint to see.

    Args:
        counts: from `tables.confusion_table`.
    """
    numbers = counts.to_numpy(dtype=float)
    on_diagonal = np.eye(len(counts), dtype=bool)
    traces = [
        go.Heatmap(
            z=np.where(part & (numbers > 0), numbers, np.nan),
            x=list(counts.columns),
            y=list(counts.index),
            colorscale=[[0.0, transparent(hue, 0.1)], [1.0, transparent(hue, 0.8)]],
            zmin=0,
            zmax=max(1.0, float(numbers[part].max())),
            xgap=2,
            ygap=2,
            showscale=False,
            hoverongaps=False,
            hovertemplate=words.CONFUSION_HOVER,
        )
        for part, hue in ((on_diagonal, TRAIN), (~on_diagonal, WRONG))
    ]
    figure = plain(go.Figure([*traces, _cell_numbers(counts)]), 130 + 26 * len(counts))
    figure.update_yaxes(autorange="reversed", showgrid=False, title=words.TRUE_CLASS)
    return figure.update_xaxes(showgrid=False, tickangle=-40, title=words.PREDICTED_CLASS)


def mistake_bars(table: pd.DataFrame) -> go.Figure:
    """Returns how often classes are confused, the most frequent mistakes first.

    Args:
        table: from `tables.mistakes_table`, as many rows as are to be shown.
    """
    bars = go.Bar(
        x=table["images"],
        y=table["true class"] + " → " + table["predicted class"],
        orientation="h",
        marker_color=WRONG,
        text=table["images"],
        **OUTSIDE,
        hovertemplate=words.MISTAKES_HOVER,
    )
    figure = plain(go.Figure(bars), 90 + 24 * len(table))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(title=words.IMAGES, rangemode="tozero")
    # Images come whole: without this a few of them get ticks such as 0.5.
    return figure.update_xaxes(dtick=1) if table["images"].max() < FEW_IMAGES else figure


def _cell_numbers(counts: pd.DataFrame) -> go.Scatter:
    """Returns a heat map's numbers above zero as text in the page's text colour."""
    rows, columns = counts.to_numpy().nonzero()
    return go.Scatter(
        x=counts.columns[columns],
        y=counts.index[rows],
        text=[str(value) for value in counts.to_numpy()[rows, columns]],
        mode="text",
        hoverinfo="skip",
        showlegend=False,
    )


def routing_value_bars(table: pd.DataFrame) -> go.Figure:
    """Returns the accuracies of ways to choose the experts; the router's bar has a colour.

    Args:
        table: from `tables.routing_value_table`.
    """
    last = len(table) - 1
    hues = [TRAIN if row == 0 else NEUTRAL for row in range(len(table))]
    hues[last] = transparent(NEUTRAL, FAINT)
    bars = go.Bar(
        x=table["accuracy"],
        y=table["choice"],
        orientation="h",
        marker={"color": hues, "line": EDGE},
        text=[f"{value:.1f}" for value in table["accuracy"]],
        **OUTSIDE,
        customdata=table["meaning"],
        hovertemplate=words.VALUE_HOVER,
    )
    figure = plain(go.Figure(bars), 60 + 34 * len(table))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(**PERCENTS, title=words.ACCURACY)


def accuracy_bars(table: pd.DataFrame) -> go.Figure:
    """Returns the accuracy per class or style (the table's first column), worst first."""
    ordered = table.sort_values("right", kind="stable")
    bars = go.Bar(
        x=ordered.iloc[:, 0],
        y=ordered["right"],
        marker_color=[WRONG if value < 50 else TRAIN for value in ordered["right"]],
        customdata=ordered[["images", "most often mistaken for"]],
        hovertemplate=words.ACCURACY_HOVER,
    )
    figure = plain(go.Figure(bars), 260)
    figure.update_xaxes(tickangle=-40)
    return figure.update_yaxes(range=[0, 100], title=words.PERCENT_RIGHT)


def _weights(table: pd.DataFrame) -> list[str]:
    """Returns the text beside each bar: the expert's mixture weight if it was chosen."""
    return [words.weight(share) for share in table["weight"]]
