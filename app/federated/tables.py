"""Tables of a federation: partition and records in, tables out."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from app.federated import words
from app.jobs.federations import Found
from mocoop.datasets.base import Dataset
from mocoop.federated.comparison import LAST
from mocoop.federated.federation import RoundRecord
from mocoop.federated.partitions import Partition
from mocoop.results.federated_tables import ALONE


def holdings(partition: Partition, dataset: Dataset, by_style: bool, part: str) -> pd.DataFrame:
    """Returns how many images each client has: clients are rows, classes or styles columns.

    Args:
        partition: who holds which images.
        dataset: the data.
        by_style: count styles instead of classes.
        part: `train` or `test`.

    Raises:
        UserError: if the data set lacks an image of the partition.
    """
    columns = list(dataset.styles if by_style else dataset.class_names)
    rows = []
    for items in partition.items(dataset, part):
        names = (item.style if by_style else dataset.class_names[item.label] for item in items)
        counts = Counter(names)
        rows.append([counts[column] for column in columns])
    return pd.DataFrame(rows, index=[one.name for one in partition.clients], columns=columns)


def accuracy_table(records: Sequence[RoundRecord]) -> pd.DataFrame:
    """Returns accuracy in percent: rounds are rows, clients columns, their mean the last one."""
    table = pd.DataFrame(
        [record.accuracies for record in records], index=[record.number for record in records]
    )
    table.index.name = words.ROUND
    return table.assign(**{words.MEAN: [record.mean for record in records]})


def taken_prompts(records: Sequence[RoundRecord], clients: Sequence[str]) -> pd.DataFrame:
    """Returns in how many rounds a client (row) received the prompt of another one (column)."""
    taken = Counter(
        (name, other)
        for record in records
        for name, others in record.foreign.items()
        for other in others
    )
    counts = [[taken[name, other] for other in clients] for name in clients]
    return pd.DataFrame(counts, index=list(clients), columns=list(clients))


def gains(records: Sequence[RoundRecord], alone: Sequence[RoundRecord]) -> pd.DataFrame:
    """Returns accuracy alone, together, and the gain in points, for each client and their mean.

    Accuracies are means of the last five rounds, in percent.

    Args:
        records: of a federation.
        alone: of a federation of the same clients in which nothing travels.
    """
    together, by_itself = _last(records), _last(alone)
    rows = [(name, by_itself[name], together[name]) for name in together if name in by_itself]
    means = [statistics.fmean(values) for values in ([r[1] for r in rows], [r[2] for r in rows])]
    rows.append((words.MEAN, means[0], means[1]))
    table = pd.DataFrame(rows, columns=[words.CLIENT, words.BY_ITSELF, words.TOGETHER])
    return table.assign(**{words.GAIN: table[words.TOGETHER] - table[words.BY_ITSELF]})


def alone_of(found: Found, others: Iterable[Found]) -> Found | None:
    """Returns the finished federation of the same clients in which each trains alone, or None.

    Its settings differ in the strategy alone, and so do what only some strategies use.
    """
    wanted = _without_strategy(found)
    for other in others:
        same = other.partition == found.partition and _without_strategy(other) == wanted
        if same and other.config.strategy == ALONE and other.finished:
            return other
    return None


def left_out(records: Sequence[RoundRecord]) -> pd.DataFrame:
    """Returns which updates were not used, in which round, and why."""
    rows = [
        (record.number, name, why) for record in records for name, why in record.refused.items()
    ]
    return pd.DataFrame(rows, columns=[words.ROUND, words.CLIENT, words.WHY])


def _last(records: Sequence[RoundRecord]) -> dict[str, float]:
    """Returns client → mean accuracy of the last five rounds, in percent."""
    last = [record for record in records if record.number > 0][-LAST:]
    return {
        name: statistics.fmean(record.accuracies[name] for record in last)
        for name in last[0].accuracies
    }


def _without_strategy(found: Found) -> object:
    plain = type(found.config)()
    return replace(
        found.config,
        strategy=ALONE,
        foreign=plain.foreign,
        own_weight=plain.own_weight,
        gate_rate=plain.gate_rate,
        most_change=plain.most_change,
    )
