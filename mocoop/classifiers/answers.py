"""The answer for one picture as plain values, for the command line and the service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mocoop.classifiers.base import Routed


def answer_of(routed: Routed, index: int, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the answer for one picture: label, probabilities, experts, scores, notes.

    Args:
        routed: the results for a batch of pictures.
        index: which of them.
        notes: what was changed to make the picture RGB.
    """
    row = routed.probabilities[index]
    order = row.argsort(descending=True).tolist()
    return {
        "label": routed.class_names[order[0]],
        "probabilities": {routed.class_names[c]: float(row[c]) for c in order},
        "experts": dict(routed.chosen(index)),
        "expert_scores": dict(zip(routed.experts, routed.scores[index].tolist(), strict=True)),
        "notes": list(notes),
    }
