"""The tables and the sentences of methods side by side on the same test images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.compare import words
from app.compare.words import ALL_RIGHT, ALL_WRONG, ANY_DISAGREE, DISAGREE, EVERY
from mocoop.evaluation.paired import agreement, wilson_interval
from mocoop.evaluation.side_by_side import SideBySide


def accuracy_table(lined: SideBySide) -> pd.DataFrame:
    """Returns a row per method: right images, accuracy and its 95 % interval, in percent."""
    rows = []
    for name, right in zip(lined.names, lined.right, strict=True):
        count = int(right.sum())
        interval = wilson_interval(count, len(right))
        rows.append((name, count, 100.0 * count / len(right), interval.low, interval.high))
    return pd.DataFrame(rows, columns=["method", "right", "accuracy", "low", "high"])


def agreement_table(lined: SideBySide) -> pd.DataFrame:
    """Returns how often two methods predict the same class, in percent: a row per method.

    Methods are numbered, and a column has only the number: names would not fit side by side.
    """
    named = [f"{number}. {name}" for number, name in enumerate(lined.names, start=1)]
    columns = [str(number) for number in range(1, len(named) + 1)]
    index = pd.Index(named, name="method")
    return pd.DataFrame(agreement(lined.predicted), index=index, columns=columns)


def pairs_table(lined: SideBySide) -> pd.DataFrame:
    """Returns a row per pair of methods: images won and lost, difference, interval, p-value."""
    rows = []
    for first in range(len(lined.names)):
        for second in range(first + 1, len(lined.names)):
            test = lined.pair(first, second)
            rows.append(
                {
                    "method": lined.names[first],
                    "against": lined.names[second],
                    "won": test.only_first,
                    "lost": test.only_second,
                    "difference": test.difference,
                    "low": test.interval.low,
                    "high": test.interval.high,
                    "p": test.p_value,
                }
            )
    return pd.DataFrame(rows)


def filters(names: Sequence[str], first: int, second: int) -> tuple[str, ...]:
    """Returns the choices of images for two of some methods: those on which they differ first."""
    won, lost = words.wins(names[first]), words.wins(names[second])
    others = (ANY_DISAGREE,) if len(names) > 2 else ()
    return (DISAGREE, won, lost, *others, ALL_RIGHT, ALL_WRONG, EVERY)


def chosen_images(lined: SideBySide, wanted: str, first: int, second: int) -> NDArray[np.intp]:
    """Returns the indices of the images that a choice of `filters` keeps, in a shuffled order.

    The order is the same every time, so that a page of images is not of one class alone.
    """
    won, lost = filters(lined.names, first, second)[1:3]
    right = lined.right
    keep = {
        DISAGREE: lined.predicted[first] != lined.predicted[second],
        ANY_DISAGREE: lined.disagree,
        won: right[first] & ~right[second],
        lost: right[second] & ~right[first],
        ALL_RIGHT: right.all(axis=0),
        ALL_WRONG: ~right.any(axis=0),
        EVERY: np.ones(len(lined.items), dtype=bool),
    }[wanted]
    order = np.random.default_rng(0).permutation(len(lined.items))
    return order[keep[order]]


def images_table(lined: SideBySide, chosen: NDArray[np.intp]) -> pd.DataFrame:
    """Returns a row per image: class, style, and each method's prediction and probability."""
    table = pd.DataFrame(
        {
            "image": [lined.items[index].id for index in chosen],
            "true": [lined.class_names[label] for label in lined.labels[chosen]],
            "style": [lined.items[index].style for index in chosen],
        }
    )
    for name, predicted, probability in zip(
        lined.names, lined.predicted, lined.probability, strict=True
    ):
        table[name] = [lined.class_names[label] for label in predicted[chosen]]
        table[f"probability, {name}"] = probability[chosen]
    return table
