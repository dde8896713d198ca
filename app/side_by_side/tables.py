"""The answers of several methods for one picture: plain data, and a table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from app.side_by_side import words
from mocoop.classifiers.base import Routed

TOP = 4  # classes per method


@dataclass(frozen=True)
class Column:
    """One method's answer for one picture."""

    title: str
    """The method's name."""
    note: str
    """What it is: a run's settings, or a template."""
    colour: str
    routed: Routed | None = None
    """Its output for a batch of this one picture; None if it has no answer."""
    problem: str = ""
    """Why it has no answer."""

    @property
    def best(self) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities; empty without an answer."""
        if self.routed is None:
            return []
        top = self.routed.probabilities[0].topk(min(TOP, len(self.routed.class_names)))
        return [
            (self.routed.class_names[label], probability)
            for label, probability in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ]

    @property
    def experts(self) -> list[tuple[str, float]]:
        """The chosen experts with their weights, largest first; empty without a mixture."""
        if self.routed is None or len(self.routed.experts) == 1:
            return []
        return self.routed.chosen(0)


def answers_table(columns: Sequence[Column]) -> pd.DataFrame:
    """Returns a row per method and class: rank, class, probability, the chosen experts."""
    rows = [
        {
            "method": column.title,
            "what": column.note,
            "rank": rank,
            "class": name,
            "probability": probability,
            "experts": ", ".join(f"{expert} {weight:.0%}" for expert, weight in column.experts),
        }
        for column in columns
        for rank, (name, probability) in enumerate(column.best, start=1)
    ]
    names = ["method", "what", "rank", "class", "probability", "experts"]
    return pd.DataFrame(rows, columns=names)


def in_words(columns: Sequence[Column], truth: str | None) -> str:
    """Returns how many methods agree, and how many are right if the true class is known."""
    said = [column.best[0][0] for column in columns if column.best]
    return words.agreement(said, truth)
