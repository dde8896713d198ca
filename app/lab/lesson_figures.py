"""The figures of the lessons, for the page and for the handout."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app.lab import figures, tables, words
from app.lab.findings import (
    ALBUMS,
    DETAILS,
    HALVES,
    SHOTS,
    SINGLE,
    WEIGHT,
    by_weight,
    coop_changes,
    drifts,
    router_conditions,
    ways,
)
from mocoop.protocols.lab import COOP, MOCOOP, OWN_RATE
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


def lesson_trainings(grid: Grid) -> tables.Trainings:
    """Returns the trainings of the first lesson: CoOp, and MoCoOp to compare it with."""
    found = tables.trainings_of(grid, HALVES, SHOTS, OWN_RATE, WEIGHT)
    return {method: found[method] for method in (COOP, MOCOOP) if method in found}


def lesson_curves(grid: Grid) -> pd.DataFrame:
    """Returns the curves of the first lesson, from `tables.epoch_table`."""
    return tables.epoch_table(lesson_trainings(grid))


def lesson_numbers(grid: Grid) -> pd.DataFrame:
    """Returns the accuracies of the first lesson after the last epoch, with zero-shot."""
    table = lesson_curves(grid)
    start = tables.zero_shot(table)
    last = table[table["epoch"] == table["epoch"].max()]
    zero = pd.DataFrame([{"method": tables.ZERO_SHOT, "epoch": 0, **start}])
    names = ["method", "epoch", "train"]
    names += [f"{half}{end}" for half in start for end in ("", " low", " high")]
    return pd.concat([zero, last], ignore_index=True)[names]


def _overfitting(grid: Grid, finals: pd.DataFrame) -> Figures:
    table = lesson_curves(grid)
    last, start = int(table["epoch"].max()), tables.zero_shot(table)
    figure = figures.accuracy_lines(table, last, last, start)
    return {"accuracy-by-epoch-of-lesson": (words.lesson_curves(HALVES, SHOTS), figure)}


def _supervision(grid: Grid, finals: pd.DataFrame) -> Figures:
    titles = ("drift: 1 − cosine to the hard prompts", "points against zero-shot")
    return {
        "accuracy-by-weight": (
            f"**Accuracy by weight** on *{HALVES}*, mean over seeds, {SHOTS} per class",
            figures.weight_lines(by_weight(finals)),
        ),
        "drift-and-change": (
            f"**Every training of LASP on *{HALVES}***: drift and change on new classes",
            figures.scatter(drifts(finals), "drift", "change", titles, "weight"),
        ),
    }


def _router(grid: Grid, finals: pd.DataFrame) -> Figures:
    made = {}
    for data in (ALBUMS, DETAILS):
        accuracies = ways(finals, data)
        bars = figures.way_bars(accuracies, next(iter(accuracies)))
        caption = f"**Ways to use the experts** on *{data}*, {SHOTS} per class, text weight "
        made[f"ways-on-{data}"] = (f"{caption}{WEIGHT:g}", bars)
    titles = ("perfect choice − random expert, points", "router − better way without it, points")
    made["gain-of-routing"] = (
        "**Possible gain and actual gain of the router**: each dot is a set, number of images and "
        "text weight, mean over seeds and halves",
        figures.scatter(router_conditions(finals), "headroom", "gain", titles, "data"),
    )
    return made


def _control(grid: Grid, finals: pd.DataFrame) -> Figures:
    caption = (
        f"**What CoOp gains or loses** against zero-shot, {SHOTS} images per class, mean over "
        "seeds"
    )
    changes = coop_changes(finals, (SINGLE, HALVES, DETAILS))
    return {"change-by-set": (caption, figures.change_bars(changes))}


_MADE = {
    "prompts": _overfitting,
    "text": _supervision,
    "router": _router,
    "control": _control,
}
