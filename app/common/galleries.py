"""The table of test images that galleries show, and how it is filtered."""

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
    """Which test images to show, in which order; None shows all."""

    expert: str | None = None
    """Only images for which this expert is among the chosen ones."""
    style: str | None = None
    class_name: str | None = None
    outcome: str | None = None
    """right or wrong."""
    order: str = ORDERS[0]


def gallery_table(found: RoutedItems) -> pd.DataFrame:
    """Returns a row per test image: truth, prediction, chosen experts, router's entropy.

    Column `row` is the image's place in `found`, `shuffled` its place in an order that is
    mixed and always the same; `entropy` is in nats.
    """
    routed = found.routed
    best = routed.probabilities.max(dim=-1)
    chosen = int((routed.weights > 0).sum(dim=-1).max())
    weights, experts = (part.tolist() for part in routed.weights.topk(chosen, dim=-1))
    names = [tuple(routed.experts[index] for index in row) for row in experts]
    return pd.DataFrame(
        {
            "row": range(len(found.items)),
            "image": [item.id for item in found.items],
            "true": [routed.class_names[label] for label in found.labels.tolist()],
            "predicted": [routed.class_names[label] for label in best.indices.tolist()],
            "probability": best.values.tolist(),
            "right": (best.indices == found.labels).tolist(),
            "style": [item.style for item in found.items],
            "expert": [row[0] for row in names],
            "experts": names,
            "weights": [tuple(row) for row in weights],
            "entropy": routing_entropy(routed.scores).tolist(),
            "shuffled": np.random.default_rng(0).permutation(len(found.items)),
        }
    )


def select_images(table: pd.DataFrame, wanted: GalleryFilter) -> pd.DataFrame:
    """Returns the rows of a gallery that a filter lets through, in its order."""
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
        # With one expert every entropy is 0, and the least sure prediction comes first.
        "most ambiguous": (["entropy", "probability"], [False, True]),
        "wrong first": (["right", "probability"], [True, False]),
    }[wanted.order]
    return shown.sort_values(columns, ascending=ascending, kind="stable")


def expert_galleries(table: pd.DataFrame, expert: str) -> dict[str, pd.DataFrame]:
    """Returns an expert's images as three galleries: certain, ambiguous and wrong.

    Certain and wrong are among those it is the first choice for, by its weight and by the sure
    mistake; ambiguous are all for which it is among the chosen, by the router's entropy.

    Args:
        table: from `gallery_table`.
        expert: its name.
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
    """Returns a gallery with one plain value per cell, for a file."""
    flat = table.drop(columns=["row", "experts", "weights", "shuffled"])
    for place in range(max((len(names) for names in table["experts"]), default=0)):
        flat[f"expert {place + 1}"] = [names[place] for names in table["experts"]]
        flat[f"weight {place + 1}"] = [weights[place] for weights in table["weights"]]
    return flat.drop(columns="expert")
