"""The answer for one picture as plain values, for the command line and the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mocoop.classifiers.base import Routed


def told_apart(class_names: Sequence[str]) -> list[str]:
    """Returns the class names in label order; equal ones, as in ImageNet, with their labels.

    >>> told_apart(["crane", "owl", "crane"])
    ['crane (0)', 'owl', 'crane (2)']
    """
    number = Counter(class_names)
    return [
        f"{name} ({label})" if number[name] > 1 else name for label, name in enumerate(class_names)
    ]


def answer_of(routed: Routed, index: int, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the answer for one picture: label, probabilities, experts, scores, notes.

    Classes of the same name have their label behind it.

    Args:
        routed: the results for a batch of pictures.
        index: which of them.
        notes: what was changed to make the picture RGB.
    """
    row = routed.probabilities[index]
    order, names = row.argsort(descending=True).tolist(), told_apart(routed.class_names)
    return {
        "label": names[order[0]],
        "probabilities": {names[c]: float(row[c]) for c in order},
        "experts": dict(routed.chosen(index)),
        "expert_scores": dict(zip(routed.experts, routed.scores[index].tolist(), strict=True)),
        "notes": list(notes),
    }
