"""Averages over the grid's trainings: the numbers in the lab's lessons."""

from __future__ import annotations

import pandas as pd

from mocoop.protocols.lab import LASP, MOCOOP, SUPERVISED

SAME = 2.0
"""Accuracies count as about the same if they differ by at most this many points."""
SHOTS, WEIGHT = 16, 5.0
"""Shots and weight of the text loss of the trainings that most findings use."""


def change(finals: pd.DataFrame, method: str, half: str, weight: float = WEIGHT) -> float:
    """Returns the mean change of accuracy from first to last epoch in points, at `SHOTS` shots."""
    rows = trainings_of(finals, method, half, weight)
    return float((rows["after"] - rows["before"]).mean())


def by_weight(finals: pd.DataFrame, shots: int = SHOTS) -> pd.DataFrame:
    """Returns mean accuracy and drift by method, half and weight of the text loss."""
    rows = finals[finals["shots"] == shots]
    keys = ["method", "half", "weight"]
    return rows.groupby(keys, sort=False)[["before", "after", "drift"]].mean().reset_index()


def rank_correlation(first: pd.Series, second: pd.Series) -> float:
    """Returns Spearman's rank correlation of two columns, -1 to 1; 0 if one is constant."""
    if first.nunique() < 2 or second.nunique() < 2:
        return 0.0
    return float(first.rank().corr(second.rank()))


def supervision_gains(finals: pd.DataFrame) -> tuple[float, float]:
    """Returns LASP's gain from the smallest to the largest text weight: base, new, in points."""
    means = by_weight(finals)
    rows = means[means["method"] == LASP]
    gains = []
    for half in ("base", "new"):
        ordered = rows[rows["half"] == half].sort_values("weight")
        gains.append(float(ordered["after"].iloc[-1] - ordered["after"].iloc[0]))
    return gains[0], gains[1]


def ways(finals: pd.DataFrame) -> dict[str, float]:
    """Returns name → mean accuracy of ways to use MoCoOp's experts, over both halves."""
    rows = finals[(finals["method"] == MOCOOP) & (finals["shots"] == SHOTS)]
    rows = rows[rows["weight"] == WEIGHT]
    words = {
        "router": "the router's choice of two",
        "uniform": "all experts equally",
        "best_single": "the best single expert",
        "random": "a random expert",
        "oracle": "perfect choice (an upper bound)",
    }
    return {text: float(rows[name].mean()) for name, text in words.items()}


def router_conditions(finals: pd.DataFrame) -> pd.DataFrame:
    """Returns the router's mean gain and headroom per text weight and number of shots."""
    rows = finals[finals["method"] == MOCOOP]
    means = rows.groupby(["weight", "shots"])[["gain", "headroom"]].mean()
    return means.reset_index().sort_values("gain", ascending=False, kind="stable")


def trainings_of(
    finals: pd.DataFrame, method: str, half: str, weight: float = WEIGHT
) -> pd.DataFrame:
    """Returns a method's trainings with `SHOTS` shots and, if it has a text loss, one weight."""
    rows = finals[(finals["method"] == method) & (finals["half"] == half)]
    rows = rows[rows["shots"] == SHOTS]
    return rows[rows["weight"] == weight] if method in SUPERVISED else rows
