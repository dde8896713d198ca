"""The tables and the sentences that the Routing page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from app.routing import words
from mocoop.classifiers.base import Routed
from mocoop.evaluation.class_measures import distinct, frequent_mistakes
from mocoop.evaluation.evaluate import RoutedItems
from mocoop.evaluation.routing_value import RoutingValue


def usage_table(tested: RoutedItems) -> pd.DataFrame:
    """Returns a row per expert: how often it is chosen and first choice (%), mean weight."""
    weights = tested.routed.weights  # (images, experts)
    first = weights.argmax(dim=-1)
    experts = tested.routed.experts
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
        experts: all experts, also those that are never chosen; they become the rows.
        columns: all styles or classes, in order; they become the columns.
    """
    counts = pd.crosstab(table["expert"], table[by])
    return counts.reindex(index=list(experts), columns=list(columns), fill_value=0)


def accuracy_by(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Returns a row per style or class: images, accuracy in percent, most frequent mistake."""
    rows = []
    for name, part in table.groupby(by, sort=False):
        wrong = part.loc[~part["right"], "predicted"]
        mistake = wrong.value_counts()
        text = f"{mistake.index[0]} ({mistake.iloc[0]}×)" if len(mistake) else ""
        rows.append((name, len(part), 100.0 * part["right"].mean(), text))
    header = {"true": "class", "style": "style"}[by]
    return pd.DataFrame(rows, columns=[header, "images", "right", "most often mistaken for"])


def confusion_table(
    confusion: Mapping[str, Mapping[str, int]], class_names: Sequence[str]
) -> pd.DataFrame:
    """Returns how many images of each true class (rows) are predicted as each (columns).

    Args:
        confusion: true class → predicted class → images, as in an `Evaluation`.
        class_names: all of them in label order; equal ones are numbered.
    """
    names = list(distinct(class_names))
    rows = [[confusion.get(true, {}).get(name, 0) for name in names] for true in names]
    return pd.DataFrame(rows, index=pd.Index(names, name="true class"), columns=names)


def mistakes_table(confusion: Mapping[str, Mapping[str, int]]) -> pd.DataFrame:
    """Returns a row per pair of classes that is mixed up, the most frequent first."""
    pairs = frequent_mistakes(confusion, most=None)
    return pd.DataFrame(pairs, columns=["true class", "predicted class", "images"])


def experts_table(routed: Routed, index: int) -> pd.DataFrame:
    """Returns a row per expert for one image: score, share, weight and its own prediction.

    `share` is the softmax of the scores over all experts, `weight` the softmax over the chosen
    experts.
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


def right_experts(experts: pd.DataFrame, truth: str) -> tuple[dict[str, float], list[str]]:
    """Returns the experts that are right alone: chosen ones with weights, and the others.

    Args:
        experts: from `experts_table`.
        truth: the true class.
    """
    right = experts[experts["own prediction"] == truth]
    chosen = right[right["weight"] > 0]
    others = right[right["weight"] == 0]
    return dict(zip(chosen["expert"], chosen["weight"], strict=True)), list(others["expert"])


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
    """Returns a row per way to choose the experts: its accuracy and its meaning."""
    rows = words.ways_to_choose(value)
    return pd.DataFrame(rows, columns=["choice", "accuracy", "meaning"])


def styles_in_words(table: pd.DataFrame) -> str:
    """Returns how often the first choice is the expert that is used most for the image's style.

    For comparison the sentence gives the value if styles had no influence: the share of the
    expert that is used most overall. Returns an empty string if no style is known.

    Args:
        table: from `gallery_table`.
    """
    known = table[table["style"].notna()]
    if known.empty:
        return ""
    counts = pd.crosstab(known["style"], known["expert"])
    own = 100 * counts.max(axis=1).sum() / len(known)
    alone = 100 * counts.sum().max() / len(known)
    return words.styles(own, alone)
