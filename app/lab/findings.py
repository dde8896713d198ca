"""Averages over the grid's trainings: the numbers in the lab's lessons."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mocoop.protocols.lab import COOP, LASP, MOCOOP, OWN_RATE, SUPERVISED

SAME = 2.0
"""Accuracies count as about the same if they differ by at most this many points."""
LARGE = 10.0
"""Gains of two sets count as about the same if they differ by at most this many points."""
SHOTS, WEIGHT = 16, 5.0
"""Shots and weight of the text loss of the trainings that most findings use."""
HALVES = "halves"
"""The set of the lessons on prompts: its base and new classes differ in which thing counts."""
SINGLE = "pictographs"
"""The set of the control: its pictures show a single thing."""
ALBUMS, DETAILS = "albums", "details"
"""The sets of the lesson on routers: several patterns in one set, and a single one."""


def trainings_of(
    finals: pd.DataFrame,
    method: str,
    half: str,
    data: str = HALVES,
    weight: float = WEIGHT,
    rate: float = OWN_RATE,
) -> pd.DataFrame:
    """Returns a method's trainings on a set with `SHOTS` shots, one row per seed.

    Args:
        finals: from `tables.final_table`.
        method: the method's key.
        half: base or new.
        data: the data set.
        weight: weight of the text loss, for methods that have one.
        rate: the learning rate.
    """
    own = weight if method in SUPERVISED else 0.0
    wanted = {"method": method, "half": half, "data": data, "weight": own, "rate": rate}
    rows = finals[finals["shots"] == SHOTS]
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows


def change(
    finals: pd.DataFrame, method: str, half: str, rate: float = OWN_RATE, data: str = HALVES
) -> float:
    """Returns a method's mean gain over zero-shot on a half of a set after training, in points.

    Zero-shot is the set's untrained prompt. The line is the same for all methods, whatever a
    method starts from.
    """
    rows = trainings_of(finals, method, half, data, rate=rate)
    return float((rows["after"] - rows["untrained"]).mean())


def coop_changes(finals: pd.DataFrame, sets: Sequence[str]) -> pd.DataFrame:
    """Returns a row per set and half: by how many points CoOp changes the accuracy."""
    rows = [
        {"data": data, "half": half, "change": change(finals, COOP, half, data=data)}
        for data in sets
        for half in ("base", "new")
    ]
    return pd.DataFrame(rows)


def settings_of(finals: pd.DataFrame) -> list[tuple[int, float]]:
    """Returns all combinations of shots and learning rate in the grid."""
    pairs = finals[["shots", "rate"]].drop_duplicates().sort_values(["shots", "rate"])
    return list(pairs.itertuples(index=False, name=None))


def at_setting(finals: pd.DataFrame, shots: int, rate: float) -> pd.DataFrame:
    """Returns the trainings with these shots and this rate, as if they were the lessons' own."""
    rows = finals[(finals["shots"] == shots) & (finals["rate"] == rate)]
    return rows.assign(shots=SHOTS, rate=OWN_RATE)


def by_weight(finals: pd.DataFrame, data: str = HALVES) -> pd.DataFrame:
    """Returns mean accuracy and drift by method, half and text weight, at the own rate."""
    rows = finals[(finals["shots"] == SHOTS) & (finals["rate"] == OWN_RATE)]
    rows = rows[rows["data"] == data]
    keys = ["method", "half", "weight"]
    return rows.groupby(keys, sort=False)[["untrained", "after", "drift"]].mean().reset_index()


def drifts(finals: pd.DataFrame, method: str = LASP) -> pd.DataFrame:
    """Returns all trainings of a method on `HALVES`, with their `change` on the new classes."""
    rows = finals[(finals["half"] == "new") & (finals["data"] == HALVES)]
    rows = rows[rows["method"] == method]
    return rows.assign(change=rows["after"] - rows["untrained"])


def drift_correlations(finals: pd.DataFrame, method: str = LASP) -> list[float]:
    """Returns for every rate and number of images how drift and change on new classes go together.

    Each is a rank correlation over a method's text weights and seeds on `HALVES`.
    """
    by_setting = drifts(finals, method).groupby(["shots", "rate"])
    return [rank_correlation(rows["drift"], rows["change"]) for _, rows in by_setting]


def rank_correlation(first: pd.Series, second: pd.Series) -> float:
    """Returns Spearman's rank correlation of two columns, -1 to 1; 0 if one is constant."""
    if first.nunique() < 2 or second.nunique() < 2:
        return 0.0
    return float(first.rank().corr(second.rank()))


def supervision_gains(finals: pd.DataFrame, method: str = LASP) -> tuple[float, float]:
    """Returns a method's gain from the smallest to the largest text weight: base, new."""
    means = by_weight(finals)
    rows = means[means["method"] == method]
    gains = []
    for half in ("base", "new"):
        ordered = rows[rows["half"] == half].sort_values("weight")
        gains.append(float(ordered["after"].iloc[-1] - ordered["after"].iloc[0]))
    return gains[0], gains[1]


def ways(finals: pd.DataFrame, data: str) -> dict[str, float]:
    """Returns name → mean accuracy of ways to use MoCoOp's experts on a set, over both halves."""
    rows = _of_mixture(finals, data)
    words = {
        "router": "the router's choice of two",
        "uniform": "all experts equally",
        "best_single": "the best single expert",
        "random": "a random expert",
        "oracle": "perfect choice (an upper bound)",
    }
    return {text: float(rows[name].mean()) for name, text in words.items()}


def router_gain(finals: pd.DataFrame, data: str) -> float:
    """Returns the router's mean gain over the better way without a router on a set, in points."""
    rows = _of_mixture(finals, data)
    return float(rows["gain"].mean())


def _of_mixture(finals: pd.DataFrame, data: str) -> pd.DataFrame:
    """Returns MoCoOp's trainings on a set, both halves."""
    return pd.concat([trainings_of(finals, MOCOOP, half, data) for half in ("base", "new")])


def router_conditions(finals: pd.DataFrame) -> pd.DataFrame:
    """Returns the router's mean gain and headroom per set, shots and text weight.

    These are means over seeds and halves, at the own rate; the largest gain comes first.
    """
    rows = finals[(finals["method"] == MOCOOP) & (finals["rate"] == OWN_RATE)]
    means = rows.groupby(["data", "shots", "weight"])[["gain", "headroom"]].mean()
    return means.reset_index().sort_values("gain", ascending=False, kind="stable")
