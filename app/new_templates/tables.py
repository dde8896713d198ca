"""The tables about new templates: candidates and groups in, pandas out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.new_templates import words
from mocoop.template_making.candidates import Judged
from mocoop.template_making.editing import EditedGroups

INDEX, X, Y = "index", "x", "y"
TYPED_INDEX = -1


@dataclass(frozen=True)
class Answered:
    """What a group's first template says about a picture."""

    group: str
    picture: int
    true: str
    answer: str
    probability: float
    """Of the answer, 0 to 1."""
    of_true: float
    """Of the true class, 0 to 1."""

    @property
    def right(self) -> bool:
        """Whether the answer is the true class."""
        return self.answer == self.true


def result_of(one: Judged, grouped: bool) -> str:
    """Returns what became of a candidate: in a group, in no group, kept (so far) or refused."""
    if not one.kept:
        return words.REFUSED
    if not grouped:
        return words.KEPT
    return words.LEFT if one.in_no_group else words.GROUPED


def result_counts(judged: Sequence[Judged], grouped: bool) -> dict[str, int]:
    """Returns how many candidates had each result; the good ones first."""
    found = Counter(result_of(one, grouped) for one in judged)
    every = (words.GROUPED, words.LEFT) if grouped else (words.KEPT,)
    return {result: found[result] for result in (*every, words.REFUSED)}


def candidate_table(
    judged: Sequence[Judged], which: str = words.ALL, grouped: bool = False
) -> pd.DataFrame:
    """Returns a row per candidate: template, result, why it was refused, factor, accuracy, remark.

    Args:
        judged: the candidates.
        which: all, or those with this result.
        grouped: whether the kept ones were grouped already.
    """
    results = [result_of(one, grouped) for one in judged]
    pairs = zip(judged, results, strict=True)
    shown = [one for one, result in pairs if which in (words.ALL, result)]
    return pd.DataFrame(
        {
            words.TEMPLATE: [one.template for one in shown],
            words.CHECKED: [result for result in results if which in (words.ALL, result)],
            words.WHY: [one.reason for one in shown],
            words.FACTOR: [one.factor for one in shown],
            words.ACCURACY: pd.Series([one.accuracy for one in shown], dtype="float"),
            words.REMARK: [words.OTHER_LANGUAGE if one.other_language else "" for one in shown],
        }
    )


def point_table(edited: EditedGroups, axes: np.ndarray) -> pd.DataFrame:
    """Returns a row per template: its index, its group, its place on the map.

    Args:
        edited: the groups.
        axes: the map's, (2, dim).
    """
    points = edited.vectors @ axes.T
    table = pd.DataFrame(
        {
            INDEX: range(len(edited.templates)),
            words.GROUP: edited.group_of(),
            words.TEMPLATE: edited.templates,
            X: points[:, 0],
            Y: points[:, 1],
        }
    )
    order = {name: number for number, name in enumerate([*edited.members, ""])}
    return table.sort_values(
        [words.GROUP, INDEX], key=lambda c: c.map(order) if c.name == words.GROUP else c
    ).reset_index(drop=True)


def six_table(answered: Sequence[Answered]) -> pd.DataFrame:
    """Returns a row per group and picture: the true class, the answer, both probabilities."""
    return pd.DataFrame(
        {
            words.GROUPS_SIX: [one.group for one in answered],
            words.PICTURE: [one.picture for one in answered],
            words.TRUE: [one.true for one in answered],
            words.ANSWER: [one.answer for one in answered],
            words.PROBABILITY: [one.probability for one in answered],
            words.OF_TRUE: [one.of_true for one in answered],
        }
    )


def nearest_group(edited: EditedGroups, vector: np.ndarray) -> tuple[str, float]:
    """Returns the group that a template is nearest to, and the cosine to its centre.

    Args:
        edited: the groups.
        vector: the template's centred unit vector (dim,).
    """
    cosines = {}
    for name, members in edited.members.items():
        centre = edited.vectors[list(members)].sum(axis=0)
        length = float(np.linalg.norm(centre))
        cosines[name] = float(centre @ vector) / length if length else 0.0
    best = max(cosines, key=cosines.__getitem__)
    return best, cosines[best]
