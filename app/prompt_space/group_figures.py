"""Small maps, one per group: soft against hard prompts, with the way over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.common.plotting import plain, transparent
from app.common.theme import NEUTRAL
from app.prompt_space import words
from app.prompt_space.figures import joined, padded
from app.prompt_space.tables import soft_pairs

COLUMNS = 3
ROW_HEIGHT, TITLE_HEIGHT, CONTROLS_HEIGHT = 270, 40, 110  # pixels
FRAME_MILLISECONDS = 700
ARROW_SIZE, STAR_SIZE = 10, 11
_HOVER = "%{customdata[0]}<br><b>%{customdata[1]}</b><br>%{customdata[2]}<extra></extra>"


def group_maps(
    table: pd.DataFrame, groups: Sequence[str], colours: Mapping[str, str], epoch: int
) -> go.Figure:
    """Returns a small map per group; with several epochs it has a frame for each, and buttons.

    Nothing moves until the user presses Play. Steps jump, without transitions.

    Args:
        table: from `tables.map_table`, of the classes to draw, in two dimensions.
        groups: names of the groups, in order.
        colours: group → colour.
        epoch: the epoch that is shown first.
    """
    epochs = sorted(table["epoch"].dropna().astype(int).unique().tolist())
    rows = -(-len(groups) // COLUMNS)
    columns = min(COLUMNS, len(groups))
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=list(groups) if len(groups) > 1 else None,
        horizontal_spacing=0.02,
        vertical_spacing=TITLE_HEIGHT / (rows * ROW_HEIGHT),
    )
    moving: list[int] = []
    for number, group in enumerate(groups):
        place = {"row": number // COLUMNS + 1, "col": number % COLUMNS + 1}
        for trace in _still(table, group, colours[group]):
            figure.add_trace(trace, **place)
        for trace in _moving(table, group, colours[group], epoch):
            moving.append(len(figure.data))
            figure.add_trace(trace, **place)
    several = len(epochs) > 1
    plain(figure, rows * ROW_HEIGHT * (1 if len(groups) > 1 else 2) + several * CONTROLS_HEIGHT)
    frame = {"showline": True, "linecolor": transparent(NEUTRAL, 0.5), "mirror": True}
    still = {"showgrid": False, "zeroline": False, "showticklabels": False, "title": None}
    still["automargin"] = False
    figure.update_xaxes(range=padded(table["x"]), **still, **frame)
    figure.update_yaxes(range=padded(table["y"]), **still, **frame)
    figure.update_layout(
        showlegend=False, dragmode="pan", margin={"l": 8, "r": 8, "t": 36, "b": 8}
    )
    # Streamlit has no margins at the sides, where half of a frame's line would be cut off.
    figure.for_each_xaxis(
        lambda axis: axis.update(domain=[0.002 + 0.996 * end for end in axis.domain])
    )
    figure.update_annotations(yshift=4, font_size=14)
    if several:
        figure.frames = [
            go.Frame(
                name=str(one),
                data=[
                    trace
                    for group in groups
                    for trace in _moving(table, group, colours[group], one)
                ],
                traces=moving,
            )
            for one in epochs
        ]
        _controls(figure, epochs, epoch)
    return figure


def _still(table: pd.DataFrame, group: str, colour: str) -> list[go.Scatter]:
    """Returns what does not move: the other groups in grey, this group's hard prompts."""
    fixed = table[table["kind"] != "soft"]
    others = fixed[fixed["group"] != group]
    grey = {"symbol": "circle", "size": 4, "color": transparent(NEUTRAL, 0.35)}
    traces = [
        go.Scatter(x=others["x"], y=others["y"], mode="markers", marker=grey, hoverinfo="skip")
    ]
    for kind, symbol, size in (("prototype", "diamond", 6), ("hard", "circle-open", 9)):
        part = fixed[(fixed["group"] == group) & (fixed["kind"] == kind)]
        edge = {"width": 1.5 if symbol.endswith("-open") else 0}
        marker = {"symbol": symbol, "size": size, "color": colour, "line": edge}
        traces.append(_marks(part, marker))
    return traces


def _moving(table: pd.DataFrame, group: str, colour: str, epoch: int) -> list[go.Scatter]:
    """Returns what changes with the epoch: lines to the prototypes, the ways, the soft prompts."""
    own = table[table["group"] == group]
    until = own[(own["kind"] == "soft") & (own["epoch"] <= epoch).fillna(False)]
    now = until[until["epoch"] == epoch]
    pairs = soft_pairs(pd.concat([now, own[own["kind"] == "prototype"]]))
    line = {"color": transparent(NEUTRAL, 0.7), "width": 1, "dash": "dot"}
    star = {
        "symbol": "star",
        "size": STAR_SIZE,
        "color": colour,
        "line": {"color": NEUTRAL, "width": 0.5},
    }
    return [
        go.Scatter(**joined(pairs, "xy"), mode="lines", line=line, hoverinfo="skip"),
        _ways(until, colour),
        _marks(now, star),
    ]


def _ways(until: pd.DataFrame, colour: str) -> go.Scatter:
    """Returns the way of every class's soft prompt: a line with an arrow head on its longest step.

    At its end the star would cover the head.
    """
    x: list[float | None] = []
    y: list[float | None] = []
    sizes: list[int] = []
    for _, way in until.sort_values("epoch").groupby("class", sort=False):
        places = way[["x", "y"]].to_numpy(float)  # (epochs, 2)
        head: int | None = None
        if len(places) > 1:
            steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
            head = int(steps.argmax()) + 1
            middle = (places[head - 1] + places[head]) / 2
            places = np.insert(places, head, middle, axis=0)
        x += [*places[:, 0].tolist(), None]
        y += [*places[:, 1].tolist(), None]
        sizes += [ARROW_SIZE if number == head else 0 for number in range(len(places) + 1)]
    marker = {"symbol": "arrow", "angleref": "previous", "size": sizes, "color": colour}
    line = {"color": colour, "width": 1.5, "backoff": 0}
    return go.Scatter(x=x, y=y, mode="lines+markers", line=line, marker=marker, hoverinfo="skip")


def _marks(part: pd.DataFrame, marker: Mapping[str, object]) -> go.Scatter:
    """Returns markers that say their kind, class and template."""
    return go.Scatter(
        x=part["x"],
        y=part["y"],
        mode="markers",
        marker=dict(marker),
        customdata=[
            [words.POINT_KINDS[kind], name, template or ""]
            for kind, name, template in zip(
                part["kind"], part["class"], part["template"], strict=True
            )
        ],
        hovertemplate=_HOVER,
    )


def _controls(figure: go.Figure, epochs: Sequence[int], epoch: int) -> None:
    """Adds the buttons and the slider that go through the epochs."""
    jump = {"transition": {"duration": 0}, "mode": "immediate"}
    names = [str(one) for one in epochs]
    play = [names, jump | {"frame": {"duration": FRAME_MILLISECONDS, "redraw": True}}]
    pause = [[None], jump | {"frame": {"duration": 0, "redraw": False}}]
    quiet = {"color": NEUTRAL, "size": 13}
    below = {"y": 0, "yanchor": "top"}
    figure.update_layout(
        margin_b=CONTROLS_HEIGHT - 16,
        updatemenus=[
            {
                "type": "buttons",
                "direction": "left",
                "showactive": False,
                "x": 0,
                "xanchor": "left",
                "pad": {"t": 28, "r": 12},
                "bgcolor": "rgba(0,0,0,0)",
                "bordercolor": NEUTRAL,
                "font": quiet,
                "buttons": [
                    {"label": words.PLAY, "method": "animate", "args": play},
                    {"label": words.PAUSE, "method": "animate", "args": pause},
                ],
            }
            | below
        ],
        sliders=[
            {
                "active": epochs.index(epoch),
                "x": 0.22,
                "len": 0.78,
                "pad": {"t": 16},
                "currentvalue": {"prefix": f"{words.EPOCH} ", "font": quiet, "offset": 8},
                "font": quiet,
                "bordercolor": NEUTRAL,
                "tickcolor": NEUTRAL,
                "transition": {"duration": 0},
                "steps": [
                    {
                        "label": name,
                        "method": "animate",
                        "args": [[name], jump | {"frame": {"duration": 0, "redraw": True}}],
                    }
                    for name in names
                ],
            }
            | below
        ],
    )
