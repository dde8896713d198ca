"""Figures of the routing page: table in, Plotly figure out; readable in light and dark."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from app.theme import NEUTRAL, TRAIN, WRONG

FAINT = 0.35  # opacity of what is not chosen or only for comparison


def usage_bars(table: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Returns the share of images per expert: first choice full, also chosen faint."""
    hues = [colours[name] for name in table["expert"]]
    first = go.Bar(
        x=table["expert"],
        y=table["first choice"],
        name="first choice",
        marker_color=hues,
        hovertemplate="%{x}: first choice for %{y:.1f} % of the images<extra></extra>",
    )
    also = go.Bar(
        x=table["expert"],
        y=table["chosen"] - table["first choice"],
        name="chosen too",
        marker={"color": hues, "opacity": FAINT},
        customdata=table["chosen"],
        hovertemplate="%{x}: among the chosen for %{customdata:.1f} %<extra></extra>",
    )
    figure = plain(go.Figure([first, also]), 180)
    figure.update_layout(barmode="stack", showlegend=False)
    return figure.update_yaxes(title="% of images", rangemode="tozero")


def score_bars(table: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Returns the router's share for every expert of one image, the chosen ones full.

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
            "color": [colours[name] for name in table["expert"]],
            "opacity": [1.0 if is_chosen else FAINT for is_chosen in chosen],
        },
        text=_weights(table),
        textposition="outside",
        cliponaxis=False,
        customdata=table["score"],
        hovertemplate="%{y}: %{x:.1f} % (raw score %{customdata:.2f})<extra></extra>",
    )
    figure = plain(go.Figure(bars), 70 + 24 * len(table))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(title="router's preference, %", range=_room(table["share"]))


def moved_bars(table: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Returns the router's share for every expert before (outline) and after a change.

    Args:
        table: from `tables.share_table`.
        colours: expert → colour.
    """
    hues = [colours[name] for name in table["expert"]]
    before = go.Bar(
        x=100 * table["before"],
        y=table["expert"],
        orientation="h",
        name="before",
        marker={"color": NEUTRAL, "opacity": FAINT},
        hovertemplate="%{y}, before: %{x:.1f} %<extra></extra>",
    )
    after = go.Bar(
        x=100 * table["after"],
        y=table["expert"],
        orientation="h",
        name="now",
        marker_color=hues,
        text=_weights(table),
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}, now: %{x:.1f} %<extra></extra>",
    )
    figure = plain(go.Figure([after, before]), 70 + 34 * len(table))
    figure.update_layout(barmode="group", bargap=0.25, bargroupgap=0, showlegend=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    largest = table[["before", "after"]].max(axis=1)
    title = "router's preference, % (grey: before)"
    return figure.update_xaxes(title=title, range=_room(largest))


def class_bars(table: pd.DataFrame, true: str | None = None) -> go.Figure:
    """Returns the most probable classes; the true one stands out where it is known."""
    known = {True: TRAIN, False: NEUTRAL}
    names = table["class"]
    hues = [TRAIN if true is None else known[name == true] for name in names]
    bars = go.Bar(
        x=100 * table["probability"],
        y=names,
        orientation="h",
        marker_color=hues,
        text=[f"{p:.0%}" for p in table["probability"]],
        textposition="auto",
        textangle=0,
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
    )
    figure = plain(go.Figure(bars), 60 + 26 * len(table))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(range=[0, 100], title="probability, %")


def count_map(counts: pd.DataFrame, of: str) -> go.Figure:
    """Returns a heat map of images: experts down, styles or classes across; empty is 0.

    Args:
        counts: from `tables.expert_counts`.
        of: what the columns are, for the hover text.
    """
    shown = counts.where(counts > 0)  # zero stays as clear as the page behind it
    few = counts.shape[1] <= 24
    heat = go.Heatmap(
        z=shown.to_numpy(dtype=float),
        x=list(counts.columns),
        y=list(counts.index),
        colorscale=[[0.0, tint(TRAIN, 0.7)], [1.0, TRAIN]],
        zmin=0,
        zmax=max(1, int(counts.to_numpy().max())),
        xgap=2,
        ygap=2,
        showscale=not few,
        texttemplate="%{z}" if few else None,
        hoverongaps=False,
        hovertemplate=f"%{{y}} · {of} %{{x}}: %{{z}} images<extra></extra>",
    )
    figure = plain(go.Figure(heat), 110 + 30 * len(counts))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(showgrid=False, tickangle=-40)


def routing_value_bars(table: pd.DataFrame) -> go.Figure:
    """Returns the accuracies of ways to choose the experts, the router's standing out.

    Args:
        table: from `tables.routing_value_table`.
    """
    last = len(table) - 1
    hues = [TRAIN if row == 0 else NEUTRAL for row in range(len(table))]
    shades = [FAINT if row == last else 1.0 for row in range(len(table))]
    bars = go.Bar(
        x=table["accuracy"],
        y=table["choice"],
        orientation="h",
        marker={"color": hues, "opacity": shades},
        text=[f"{value:.1f}" for value in table["accuracy"]],
        textposition="auto",
        textangle=0,
        customdata=table["meaning"],
        hovertemplate="%{y}: %{x:.1f} %<br>%{customdata}<extra></extra>",
    )
    figure = plain(go.Figure(bars), 60 + 34 * len(table))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(range=[0, 100], title="accuracy on the test images, %")


def accuracy_bars(table: pd.DataFrame) -> go.Figure:
    """Returns percent right per class or style (the table's first column), worst first."""
    ordered = table.sort_values("right", kind="stable")
    bars = go.Bar(
        x=ordered.iloc[:, 0],
        y=ordered["right"],
        marker_color=[WRONG if value < 50 else TRAIN for value in ordered["right"]],
        customdata=ordered[["images", "most often mistaken for"]],
        hovertemplate=(
            "%{x}: %{y:.0f} % of %{customdata[0]} images<br>%{customdata[1]}<extra></extra>"
        ),
    )
    figure = plain(go.Figure(bars), 260)
    figure.update_xaxes(tickangle=-40)
    return figure.update_yaxes(range=[0, 100], title="% right")


def _weights(table: pd.DataFrame) -> list[str]:
    """Returns the mixture weight of each chosen expert, as text beside its bar."""
    return [f"weight {weight:.0%}" if weight > 0 else "" for weight in table["weight"]]


def _room(shares: pd.Series) -> list[float]:
    """Returns a range of percent with room for text, never narrower than 0 to 50."""
    return [0.0, max(50.0, 125 * float(shares.max()))]


def plain(figure: go.Figure, height: int) -> go.Figure:
    """Returns the figure with a clear background and small margins, for light and dark."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 12, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(automargin=True, gridcolor=see_through(NEUTRAL, 0.25), zeroline=False)
    return figure.update_yaxes(
        automargin=True, gridcolor=see_through(NEUTRAL, 0.25), zeroline=False
    )


def see_through(colour: str, opacity: float) -> str:
    """Returns a hex colour as rgba text."""
    red, green, blue = _channels(colour)
    return f"rgba({red},{green},{blue},{opacity})"


def tint(colour: str, share: float) -> str:
    """Returns a hex colour mixed with that share of white."""
    mixed = [round(value + (255 - value) * share) for value in _channels(colour)]
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
