"""What the routing page shows, as tables: plain data in, pandas out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mocoop.classifiers.base import Routed
from mocoop.evaluation.evaluate import RoutedItems
from mocoop.evaluation.routing_value import RoutingValue
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


def usage_table(found: RoutedItems) -> pd.DataFrame:
    """Returns a row per expert: share of images that chose it, chose it first, mean weight."""
    weights = found.routed.weights  # (images, experts)
    first = weights.argmax(dim=-1)
    experts = found.routed.experts
    return pd.DataFrame(
        {
            "expert": experts,
            "chosen": (100.0 * (weights > 0).float().mean(dim=0)).tolist(),
            "first choice": [
                100.0 * (first == index).float().mean().item() for index in range(len(experts))
            ],
            "mean weight": weights.mean(dim=0).tolist(),
        }
    )


def expert_counts(
    table: pd.DataFrame, by: str, experts: tuple[str, ...], columns: tuple[str, ...]
) -> pd.DataFrame:
    """Returns how many images of each style or class have each expert as first choice.

    Args:
        table: from `gallery_table`.
        by: `style` or `true` (the class).
        experts: all experts, the rows, also those never chosen.
        columns: all styles or classes, in order.
    """
    counts = pd.crosstab(table["expert"], table[by])
    return counts.reindex(index=list(experts), columns=list(columns), fill_value=0)


def accuracy_by(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Returns a row per style or class: images, percent right, most frequent mistake."""
    rows = []
    for name, part in table.groupby(by, sort=False):
        wrong = part.loc[~part["right"], "predicted"]
        mistake = wrong.value_counts()
        said = f"{mistake.index[0]} ({mistake.iloc[0]}×)" if len(mistake) else ""
        rows.append((name, len(part), 100.0 * part["right"].mean(), said))
    header = {"true": "class", "style": "style"}[by]
    return pd.DataFrame(rows, columns=[header, "images", "right", "most often mistaken for"])


def experts_table(routed: Routed, index: int) -> pd.DataFrame:
    """Returns a row per expert for one image: score, share, weight and its own prediction.

    `share` is the softmax of the scores over all experts, `weight` the one over the chosen.
    """
    own = routed.expert_probabilities[index].max(dim=-1)  # over classes
    return pd.DataFrame(
        {
            "expert": routed.experts,
            "score": routed.scores[index].tolist(),
            "share": routed.scores[index].softmax(dim=-1).tolist(),
            "weight": routed.weights[index].tolist(),
            "own prediction": [routed.class_names[label] for label in own.indices.tolist()],
            "probability": own.values.tolist(),
        }
    )


def top_classes(routed: Routed, index: int, count: int = 5) -> pd.DataFrame:
    """Returns the most probable classes of one image, most probable first."""
    best = routed.probabilities[index].topk(min(count, len(routed.class_names)))
    names = [routed.class_names[label] for label in best.indices.tolist()]
    return pd.DataFrame({"class": names, "probability": best.values.tolist()})


def share_table(before: Routed, after: Routed) -> pd.DataFrame:
    """Returns a row per expert: the router's share for one image before and after a change."""
    shares = [routed.scores[0].softmax(dim=-1).tolist() for routed in (before, after)]
    return pd.DataFrame(
        {
            "expert": before.experts,
            "before": shares[0],
            "after": shares[1],
            "weight": after.weights[0].tolist(),
        }
    )


def routing_value_table(value: RoutingValue) -> pd.DataFrame:
    """Returns a row per way to choose the experts: accuracy and what it means."""
    chosen = f"chosen on the {value.chosen_on} images"
    rows = [
        ("the router", value.router, "what this run does"),
        ("all experts equally", value.uniform, "the mean of all experts, without a router"),
        ("a random expert", value.random, "expected when one expert is drawn per image"),
        (
            "the best single expert",
            value.best_single,
            f"{value.best_expert!r} for every image, {chosen}",
        ),
        (
            "perfect choice",
            value.oracle,
            "at least one expert is right: an upper bound that peeks at the answers",
        ),
    ]
    return pd.DataFrame(rows, columns=["choice", "accuracy", "meaning"])


def nmi_in_words(nmi: float | None) -> str:
    """Returns what a normalised mutual information of experts and styles says."""
    if nmi is None:
        return "how experts and styles go together cannot be told here"
    if nmi < 0.1:
        return "the experts do not follow the styles"
    if nmi < 0.3:
        return "the experts follow the styles a little"
    if nmi < 0.6:
        return "the experts clearly follow the styles"
    return "the experts follow the styles closely"


def styles_in_words(table: pd.DataFrame) -> str:
    """Returns how often the first choice is the expert that is used most for the image's style.

    Beside it stands what it would be if styles played no part: the share of the expert that is
    used most of all. Empty where no style is known.

    Args:
        table: from `gallery_table`.
    """
    known = table[table["style"].notna()]
    if known.empty:
        return ""
    counts = pd.crosstab(known["style"], known["expert"])
    own = 100 * counts.max(axis=1).sum() / len(known)
    alone = 100 * counts.sum().max() / len(known)
    return (
        f"For {own:.0f} % of the images the first choice is the expert used most for their style; "
        f"if styles played no part, it would be {alone:.0f} %."
    )


def routing_in_words(value: RoutingValue) -> str:
    """Returns whether the router beats what needs no router, with the error of counting."""
    side = "ahead of" if value.gain >= 0 else "behind"
    said = f"The router is {abs(value.gain):.1f} points {side} the best choice without a router"
    margin = 2 * value.gain_error
    if abs(value.gain) <= margin:
        return f"{said}: **too close to call** on these images (±{margin:.1f})."
    verdict = "it pays here" if value.gain > 0 else "it does not pay here"
    return f"{said} (±{margin:.1f}): **{verdict}**."
