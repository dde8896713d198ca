"""The table of test images that galleries show, and its filters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mocoop.evaluation.evaluate import RoutedItems
from mocoop.model.router import routing_entropy

ORDERS = ("shuffled", "as in the data", "most certain", "most ambiguous", "wrong first")
OUTCOMES = ("right", "wrong")


@dataclass(frozen=True)
class GalleryFilter:
    """Which test images to show, and in which order; None means no restriction."""

    expert: str | None = None
    """Only images for which the router chose this expert (first or not)."""
    style: str | None = None
    class_name: str | None = None
    outcome: str | None = None
    """right or wrong."""
    order: str = ORDERS[0]


def gallery_table(tested: RoutedItems) -> pd.DataFrame:
    """Returns a row per test image: true class, prediction, chosen experts, router's entropy.

    Column `row` is the image's index in `tested`. Column `shuffled` is its index in a shuffled
    order that is the same every time. `entropy` is in nats.
    """
    routed = tested.routed
    best = routed.probabilities.max(dim=-1)
    chosen = int((routed.weights > 0).sum(dim=-1).max())
    weights, experts = (part.tolist() for part in routed.weights.topk(chosen, dim=-1))
    names = [tuple(routed.experts[index] for index in row) for row in experts]
    return pd.DataFrame(
        {
            "row": range(len(tested.items)),
            "image": [item.id for item in tested.items],
            "true": [routed.class_names[label] for label in tested.labels.tolist()],
            "predicted": [routed.class_names[label] for label in best.indices.tolist()],
            "probability": best.values.tolist(),
            "right": (best.indices == tested.labels).tolist(),
            "style": [item.style for item in tested.items],
            "expert": [row[0] for row in names],
            "experts": names,
            "weights": [tuple(row) for row in weights],
            "entropy": routing_entropy(routed.scores).tolist(),
            "shuffled": np.random.default_rng(0).permutation(len(tested.items)),
        }
    )


def select_images(table: pd.DataFrame, wanted: GalleryFilter) -> pd.DataFrame:
    """Returns the rows of a gallery that pass a filter, sorted as the filter says."""
    keep = pd.Series(True, index=table.index)
    if wanted.expert is not None:
        keep &= table["experts"].map(lambda names: wanted.expert in names)
    if wanted.style is not None:
        keep &= table["style"] == wanted.style
    if wanted.class_name is not None:
        keep &= table["true"] == wanted.class_name
    if wanted.outcome is not None:
        keep &= table["right"] == (wanted.outcome == "right")
    shown = table[keep]
    columns, ascending = {
        "shuffled": (["shuffled"], [True]),
        "as in the data": (["row"], [True]),
        "most certain": (["probability", "row"], [False, True]),
        # With one expert every entropy is 0, so the least confident prediction comes first.
        "most ambiguous": (["entropy", "probability"], [False, True]),
        "wrong first": (["right", "probability"], [True, False]),
    }[wanted.order]
    return shown.sort_values(columns, ascending=ascending, kind="stable")


def expert_galleries(table: pd.DataFrame, expert: str) -> dict[str, pd.DataFrame]:
    """Returns an expert's images as three galleries: certain, ambiguous and wrong.

    "certain" and "wrong" hold images for which the expert is the first choice: all of them,
    sorted by its weight, and the misclassified ones, sorted by the probability of the wrong
    class. "ambiguous" holds all images for which the router chose the expert, sorted by the
    router's entropy. All three are in descending order.

    Args:
        table: from `gallery_table`.
        expert: the expert's name.
    """
    first = table[table["expert"] == expert]
    chosen = table[table["experts"].map(lambda names: expert in names)]
    weight = first["weights"].map(lambda weights: weights[0])
    order = ["weight", "probability"]
    certain = first.assign(weight=weight).sort_values(order, ascending=False, kind="stable")
    return {
        "certain": certain.drop(columns="weight"),
        "ambiguous": chosen.sort_values("entropy", ascending=False, kind="stable"),
        "wrong": first[~first["right"]].sort_values("probability", ascending=False, kind="stable"),
    }


def gallery_csv(table: pd.DataFrame) -> pd.DataFrame:
    """Returns a gallery with one plain value per cell, to be saved as a file."""
    flat = table.drop(columns=["row", "experts", "weights", "shuffled"])
    for rank in range(max((len(names) for names in table["experts"]), default=0)):
        flat[f"expert {rank + 1}"] = [names[rank] for names in table["experts"]]
        flat[f"weight {rank + 1}"] = [weights[rank] for weights in table["weights"]]
    return flat.drop(columns="expert")
