"""Small maps, one per group: soft against hard prompts, with the way over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.common.plotting import plain, transparent
from app.common.theme import NEUTRAL
from app.prompt_space import words
from app.prompt_space.figures import padded
from mocoop.analysis.projection import KINDS, PROTOTYPE, SOFT

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
    parts = {group: _Group.of(table, group, epochs) for group in groups}
    for number, (group, part) in enumerate(parts.items()):
        place = {"row": number // COLUMNS + 1, "col": number % COLUMNS + 1}
        for trace in _still(table, group, colours[group]):
            figure.add_trace(trace, **place)
        for trace in _moving(part, colours[group], epoch):
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
                # A frame names only what changes.
                data=[
                    {"type": "scatter", "x": x, "y": y}
                    for part in parts.values()
                    for x, y in part.places(one)
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


@dataclass(frozen=True)
class _Group:
    """The soft prompts and the prototypes of one group, as arrays: classes in a fixed order."""

    epochs: np.ndarray  # (epochs,)
    soft: np.ndarray  # (classes, epochs, 2), float32
    prototypes: np.ndarray  # (classes, 2), float32
    soft_rows: pd.DataFrame
    """The row of every class in the last epoch, which says what the star is."""

    @staticmethod
    def of(table: pd.DataFrame, group: str, epochs: Sequence[int]) -> _Group:
        """Returns a group of a map; every soft prompt has a point in each of the saved epochs."""
        own = table[table["group"] == group]
        soft = own[own["kind"] == KINDS[SOFT]].sort_values(["epoch", "class"])
        last = soft[soft["epoch"] == epochs[-1]]
        places = soft[["x", "y"]].to_numpy(np.float32).reshape(len(epochs), len(last), 2)
        prototypes = own[own["kind"] == KINDS[PROTOTYPE]].set_index("class")[["x", "y"]]
        ends = prototypes.reindex(last["class"]).to_numpy(np.float32)
        return _Group(np.array(epochs), places.swapaxes(0, 1), ends, last)

    def places(self, epoch: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns x and y of all that changes with the epoch, in the order of `_moving`.

        They are the lines to the prototypes, the ways of the soft prompts until this epoch, the
        arrow heads of the ways, and the stars. A gap stands after every line.
        """
        until = self.soft[:, self.epochs <= epoch]  # (classes, epochs until now, 2)
        now = until[:, -1]
        lines = np.stack([now, self.prototypes], axis=1)
        return [_xy(_with_gaps(lines)), _xy(_with_gaps(until)), _xy(_heads(until)), _xy(now)]


def _with_gaps(lines: np.ndarray) -> np.ndarray:
    """Returns lines (lines, points, 2) as one line with gaps: (lines · (points + 1), 2)."""
    return np.pad(lines, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan).reshape(-1, 2)


def _heads(ways: np.ndarray) -> np.ndarray:
    """Returns where each way's arrow head points from and where it is, and a gap: (3 · ways, 2).

    It is in the middle of the longest step: at the end the star would cover it. Before the first
    step there are none.
    """
    if ways.shape[1] < 2:
        return np.empty((0, 2), np.float32)
    longest = np.linalg.norm(np.diff(ways, axis=1), axis=2).argmax(axis=1)  # (ways,)
    rows = np.arange(len(ways))
    start, end = ways[rows, longest], ways[rows, longest + 1]
    return _with_gaps(np.stack([start, (start + end) / 2], axis=1))


def _xy(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(places[:, 0]), np.ascontiguousarray(places[:, 1])


def _moving(part: _Group, colour: str, epoch: int) -> list[go.Scatter]:
    """Returns what changes with the epoch: lines to the prototypes, ways, heads, soft prompts."""
    pairs, ways, heads, stars = part.places(epoch)
    dotted = {"color": transparent(NEUTRAL, 0.7), "width": 1, "dash": "dot"}
    solid = {"color": colour, "width": 1.5}
    # Only every second point is drawn: the first of each pair says where the arrow comes from.
    sizes = [0, ARROW_SIZE, 0] * len(part.soft)
    arrow = {"symbol": "arrow", "angleref": "previous", "size": sizes, "color": colour}
    star = {
        "symbol": "star",
        "size": STAR_SIZE,
        "color": colour,
        "line": {"color": NEUTRAL, "width": 0.5},
    }
    return [
        go.Scatter(x=pairs[0], y=pairs[1], mode="lines", line=dotted, hoverinfo="skip"),
        go.Scatter(x=ways[0], y=ways[1], mode="lines", line=solid, hoverinfo="skip"),
        go.Scatter(x=heads[0], y=heads[1], mode="markers", marker=arrow, hoverinfo="skip"),
        _marks(part.soft_rows, star).update(x=stars[0], y=stars[1]),
    ]


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
