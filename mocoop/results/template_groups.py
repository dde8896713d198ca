"""The table of kinds of groups of templates, and their differences to the hand-made ones."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import t as student

from mocoop.evaluation.measure_table import HALVES
from mocoop.markdown import markdown_table
from mocoop.results.rows import Row

CONFIDENCE = 0.95
MEASURES = ("accuracy", *HALVES, "HM")
_HEADS = {"accuracy": "few-shot", "HM": "HM"}
MEAN = "mean"


@dataclass(frozen=True)
class Difference:
    """How much better one kind of groups is than another, over seeds."""

    mean: float
    """In points."""
    half: float | None
    """Half the width of its 95 % confidence interval; None with one seed."""
    seeds: int


def difference(rows: Sequence[Row], label: str, to: str, measure: str) -> Difference | None:
    """Returns the difference of two labels, paired by data set and seed; None without pairs.

    A seed's difference is its mean over the data sets that both have. The interval is Student's,
    over the seeds.

    Args:
        rows: the results of every run.
        label: the label whose results are looked at.
        to: the label to compare with.
        measure: the measure.
    """
    own, other = (
        {(row.seed, row.data): row.value for row in rows if (row.method, row.measure) == pair}
        for pair in ((label, measure), (to, measure))
    )
    by_seed: dict[int, list[float]] = {}
    for key in own.keys() & other.keys():
        by_seed.setdefault(key[0], []).append(own[key] - other[key])
    means = [statistics.fmean(by_seed[seed]) for seed in sorted(by_seed)]
    if not means:
        return None
    return Difference(statistics.fmean(means), half_width(means), len(means))


def half_width(values: Sequence[float]) -> float | None:
    """Returns half the width of the mean's Student interval; None for fewer than two values."""
    if len(values) < 2:
        return None
    quantile = float(student.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return quantile * statistics.stdev(values) / len(values) ** 0.5


def groups_table(rows: Sequence[Row], to: str, agreements: Mapping[tuple[str, str], float]) -> str:
    """Returns the table as Markdown: means over seeds, differences, agreement with the styles.

    Kinds that some data set does not have are left out of the rows of means over data sets: these
    means would be over other sets.

    Args:
        rows: the results of every run.
        to: the label with which the others are compared.
        agreements: (label, data set) → adjusted Rand index.
    """
    labels = list(dict.fromkeys(row.method for row in rows))
    data = list(dict.fromkeys(row.data for row in rows))
    lines = []
    for name in [*data, MEAN] if len(data) > 1 else data:
        some = [row for row in rows if name in (MEAN, row.data)]
        for label in labels:
            if name == MEAN and {row.data for row in rows if row.method == label} != set(data):
                continue
            cells = [_mean(some, label, measure) for measure in MEASURES]
            changes = [_change(some, label, to, measure) for measure in ("accuracy", "HM")]
            known = [v for (one, d), v in agreements.items() if one == label and name in (MEAN, d)]
            found = f"{statistics.fmean(known):.2f}" if known else "–"
            lines.append((name, label, *cells, *changes, found))
    heads = [_HEADS.get(measure, measure) for measure in MEASURES]
    return markdown_table(
        ("data", "groups", *heads, "Δ few-shot", "Δ HM", "styles"), lines, "ll" + "r" * 7
    )


def _mean(rows: Sequence[Row], label: str, measure: str) -> str:
    """Returns the mean over data sets and seeds."""
    values = [row.value for row in rows if (row.method, row.measure) == (label, measure)]
    return f"{statistics.fmean(values):.1f}" if values else "–"


def _change(rows: Sequence[Row], label: str, to: str, measure: str) -> str:
    """Returns a difference with its interval."""
    found = None if label == to else difference(rows, label, to, measure)
    if found is None:
        return "–"
    return f"{found.mean:+.1f}" + ("" if found.half is None else f" ± {found.half:.1f}")
