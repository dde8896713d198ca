"""Figures of the Prompt space page: table in, Plotly figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from app.common.plotting import plain, transparent
from app.common.theme import EXPERT_COLOURS, NEUTRAL
from app.prompt_space.tables import AXES, soft_pairs
from app.prompt_space.words import BLOCK, MOVED, POINT_KINDS

# Symbol, size and opacity of each kind, in the order in which they are drawn: a prototype must
# not cover the hard prompts around it. The kinds can be told apart without colour.
_LOOKS = {
    "prototype": ("diamond", 8, 0.6),
    "hard": ("circle-open", 10, 0.95),
    "soft": ("star", 13, 1.0),
    "typed": ("x", 10, 1.0),
}
_LOOKS_3D = {
    "prototype": ("diamond", 4, 0.6),
    "hard": ("circle-open", 6, 0.95),
    "soft": ("cross", 5, 1.0),
    "typed": ("x", 5, 1.0),
}
FADED = 0.15  # share of its opacity that a point keeps if the search looks for others
MOST_LABELS = 16  # with more points found, their names would cover each other


def prompt_map(
    shown: pd.DataFrame,
    colour_by: str,
    colours: Mapping[str, str],
    bounds: pd.DataFrame,
    found: tuple[str, str] | None = None,
) -> go.Figure:
    """Returns a map of hard, prototype and soft points; lines join soft points and prototypes.

    Args:
        shown: from `tables.shown_points`; the map has three dimensions if there is a column `z`.
        colour_by: `group` or `class`.
        colours: value of that column → colour.
        bounds: the points of all epochs, which determine the axes, so that they do not change.
        found: `class` or `group` and a name, to mark its soft points and to fade all others.
    """
    axes = [axis for axis in AXES if axis in shown]
    hit = pd.Series(True, shown.index) if found is None else shown[found[0]] == found[1]
    flat = len(axes) == 2
    figure = go.Figure(_pair_lines(soft_pairs(shown), axes))
    for kind, look in (_LOOKS if flat else _LOOKS_3D).items():
        part = shown[shown["kind"] == kind]
        if not part.empty:
            hues = [
                transparent(colours[name], look[2] * (1.0 if bright else FADED))
                for name, bright in zip(part[colour_by], hit[part.index], strict=True)
            ]
            figure.add_trace(_points(part, kind, look, axes, hues))
    if found is not None:
        figure.add_trace(_rings(shown[hit & (shown["kind"] == "soft")], axes, found[0]))
    plain(figure, 560)
    # In Streamlit a click selects a point only if dragging does not select.
    figure.update_layout(
        showlegend=False, dragmode="pan" if flat else "turntable", uirevision="map"
    )
    ranges = {axis: padded(bounds[axis]) for axis in axes}
    clear = {"showticklabels": False, "zeroline": False}
    if flat:
        figure.update_xaxes(range=ranges["x"], showgrid=False, title=None, **clear)
        return figure.update_yaxes(range=ranges["y"], showgrid=False, title=None, **clear)
    scene = {f"{axis}axis": clear | {"range": ranges[axis]} for axis in axes}
    ground = {
        "backgroundcolor": "rgba(0,0,0,0)",
        "gridcolor": transparent(NEUTRAL, 0.35),
        "title": "",
    }
    figure.update_layout(
        scene={name: values | ground for name, values in scene.items()},
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
    )
    return figure


def drift_lines(table: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Returns each expert's mean cosine to its own prototypes over the saved epochs."""
    figure = go.Figure()
    for expert, part in table.groupby("expert", sort=False):
        figure.add_trace(
            go.Scatter(
                x=part["epoch"],
                y=part["own cosine"],
                name=str(expert),
                mode="lines+markers",
                line_color=colours[str(expert)],
                hovertemplate=f"{expert}, epoch %{{x}}: %{{y:.3f}}<extra></extra>",
            )
        )
    plain(figure, 300)
    epochs, lowest = int(table["epoch"].max()), float(table["own cosine"].min())
    figure.update_xaxes(title="epoch", tickformat="d", nticks=min(epochs + 1, 8))
    # The axis spans at least 0.02, so that a tiny drift looks tiny.
    low = min(0.98, lowest - 0.05 * (1 - lowest))
    return figure.update_yaxes(title="cosine to own prototype", range=[low, 1 + 0.05 * (1 - low)])


def block_bars(table: pd.DataFrame, epoch: int, colours: Mapping[str, str]) -> go.Figure:
    """Returns how far the learned tokens of each block moved until an epoch.

    Args:
        table: from `tables.block_frame`; all epochs determine the axis, so that it stays.
        epoch: the epoch to show.
        colours: expert → colour; tokens of no expert are grey.
    """
    figure = go.Figure()
    several = len(colours) > 1
    for (tower, expert), part in table.groupby(["tower", "expert"], sort=False):
        name = f"{tower} tower, {expert}" if expert and several else f"{tower} tower"
        now = part[part["epoch"] == epoch]
        figure.add_trace(
            go.Bar(
                x=now["block"],
                y=now["moved"],
                name=name,
                marker_color=colours.get(str(expert), NEUTRAL),
                hovertemplate=f"{name}, block %{{x}}: %{{y:.2f}}<extra></extra>",
            )
        )
    plain(figure, 300)
    figure.update_layout(barmode="group", showlegend=True)
    figure.update_xaxes(title=BLOCK, tickformat="d", dtick=1)
    return figure.update_yaxes(title=MOVED, range=[0, 1.05 * float(table["moved"].max()) or 1.0])


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """Returns class → colour by its index among the classes shown."""
    return {name: EXPERT_COLOURS[i % len(EXPERT_COLOURS)] for i, name in enumerate(classes)}


def joined(pairs: pd.DataFrame, axes: Sequence[str]) -> dict[str, list[float | None]]:
    """Returns the ends of all lines from soft points to prototypes: one trace with gaps.

    Args:
        pairs: from `tables.soft_pairs`.
        axes: the axes, such as x and y.
    """
    return {
        axis: [
            value
            for start, end in zip(pairs[f"{axis}_soft"], pairs[f"{axis}_prototype"], strict=True)
            for value in (start, end, None)
        ]
        for axis in axes
    }


def _points(
    part: pd.DataFrame,
    kind: str,
    look: tuple[str, int, float],
    axes: Sequence[str],
    hues: Sequence[str],
) -> go.Scatter | go.Scatter3d:
    """Returns the markers of one kind; `customdata` holds kind, group, class and template."""
    symbol, size, _ = look
    detail = part["template"].fillna("")
    chart = go.Scatter if len(axes) == 2 else go.Scatter3d
    edge = {"width": 1.6, "color": list(hues)} if symbol.endswith("-open") else {"width": 0}
    return chart(
        **{axis: part[axis] for axis in axes},
        mode="markers",
        name=POINT_KINDS[kind],
        marker={"symbol": symbol, "size": size, "color": list(hues), "line": edge},
        customdata=[
            [kind, group, name, text]
            for group, name, text in zip(part["group"], part["class"], detail, strict=True)
        ],
        hovertemplate=(
            f"{POINT_KINDS[kind]}<br>%{{customdata[1]}} · <b>%{{customdata[2]}}</b>"
            "<br>%{customdata[3]}<extra></extra>"
        ),
    )


def _rings(part: pd.DataFrame, axes: Sequence[str], column: str) -> go.Scatter | go.Scatter3d:
    """Returns rings around the points that the search found, named by what differs."""
    chart = go.Scatter if len(axes) == 2 else go.Scatter3d
    other = "group" if column == "class" else "class"
    labelled = len(part) <= MOST_LABELS
    return chart(
        **{axis: part[axis] for axis in axes},
        mode="markers+text" if labelled else "markers",
        text=part[other] if labelled else None,
        textposition="top center",
        marker={
            "symbol": "circle-open",
            "size": 22 if len(axes) == 2 else 12,
            "color": NEUTRAL,
            "line": {"width": 2, "color": NEUTRAL},
        },
        hoverinfo="skip",
    )


def _pair_lines(pairs: pd.DataFrame, axes: Sequence[str]) -> go.Scatter | go.Scatter3d:
    """Returns all lines from soft points to their prototypes."""
    chart = go.Scatter if len(axes) == 2 else go.Scatter3d
    line = {"color": NEUTRAL, "width": 1 if len(axes) == 2 else 2}
    return chart(**joined(pairs, axes), mode="lines", line=line, opacity=0.6, hoverinfo="skip")


def padded(values: pd.Series) -> list[float]:
    """Returns an axis range that is a little wider than the values."""
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 1.0
    return [low - margin, high + margin]
