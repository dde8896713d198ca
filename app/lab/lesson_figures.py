"""The figures of the lessons, for the page and for the handout."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app.lab import figures, tables
from app.lab.findings import (
    ALBUMS,
    DETAILS,
    HALVES,
    SHOTS,
    SINGLE,
    WEIGHT,
    by_weight,
    coop_changes,
    drifts_of_lasp,
    ways,
)
from mocoop.protocols.lab import METHODS, MOCOOP, OWN_RATE
from mocoop.protocols.lab_grid import Grid

Figures = dict[str, tuple[str, go.Figure]]
"""Name of a figure's files → its caption in Markdown, and the figure."""


def figures_of(key: str, grid: Grid, finals: pd.DataFrame) -> Figures:
    """Returns the figures that show a lesson's answer.

    Args:
        key: the lesson's key.
        grid: the trainings.
        finals: from `tables.final_table`.
    """
    return _MADE[key](grid, finals)


def lesson_curves(grid: Grid) -> pd.DataFrame:
    """Returns the curves of the first lesson, from `tables.mean_curves`."""
    return tables.mean_curves(grid, HALVES, SHOTS, WEIGHT, OWN_RATE)


def _overfitting(grid: Grid, finals: pd.DataFrame) -> Figures:
    caption = (
        f"**Change since the start of training** on *{HALVES}*, {SHOTS} images per class, text "
        f"weight {WEIGHT:g}; the band is ± one sample standard deviation (n − 1) over seeds"
    )
    return {"change-by-epoch": (caption, figures.change_lines(lesson_curves(grid), METHODS))}


def _supervision(grid: Grid, finals: pd.DataFrame) -> Figures:
    drifts = drifts_of_lasp(finals)
    titles = ("drift: 1 − cosine to the hard prompts", "points gained or lost")
    return {
        "accuracy-by-weight": (
            f"**Accuracy by weight** on *{HALVES}*, mean over seeds, {SHOTS} per class",
            figures.weight_lines(by_weight(finals)),
        ),
        "drift-and-change": (
            f"**Every training of LASP on *{HALVES}***: drift and change on new classes",
            figures.scatter(drifts, "drift", "change", titles, "weight"),
        ),
    }


def _router(grid: Grid, finals: pd.DataFrame) -> Figures:
    made = {}
    for data in (ALBUMS, DETAILS):
        accuracies = ways(finals, data)
        bars = figures.way_bars(accuracies, next(iter(accuracies)))
        caption = f"**Ways to use the experts** on *{data}*, {SHOTS} per class, text weight "
        made[f"ways-on-{data}"] = (f"{caption}{WEIGHT:g}", bars)
    rows = finals[(finals["method"] == MOCOOP) & (finals["rate"] == OWN_RATE)]
    titles = ("perfect choice − random expert, points", "router − better way without it, points")
    made["gain-of-routing"] = (
        "**Every training and half**: possible gain and actual gain of the router",
        figures.scatter(rows, "headroom", "gain", titles, "data"),
    )
    return made


def _control(grid: Grid, finals: pd.DataFrame) -> Figures:
    caption = (
        f"**What CoOp gains or loses** from start to end of training, {SHOTS} images per class, "
        "mean over seeds"
    )
    changes = coop_changes(finals, (SINGLE, HALVES, DETAILS))
    return {"change-by-set": (caption, figures.change_bars(changes))}


_MADE = {
    "prompts": _overfitting,
    "text": _supervision,
    "router": _router,
    "control": _control,
}
