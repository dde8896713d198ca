"""Tables of federations: mean over seeds, and the paired gain over clients that train alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mocoop.federated.comparison import LAST
from mocoop.federated.settings import FederatedConfig
from mocoop.federated.strategies import find_strategy
from mocoop.results.cells import (
    Block,
    Line,
    Series,
    Table,
    difference,
    first_seen,
    mean_cell,
    with_best_in_bold,
)

ALONE = "local"
"""The strategy that others are compared with, where it is there."""


def federated_tables(results: Sequence[tuple[FederatedConfig, float]]) -> list[Table]:
    """Returns a table of accuracies, and with `local` among them one of the gains over it.

    Args:
        results: settings and accuracy in percent of every federation; they differ in partition,
            strategy and seed alone.
    """
    partitions = first_seen(config.partition for config, _ in results)
    strategies = first_seen(config.strategy for config, _ in results)
    seeds = len({config.seed for config, _ in results})
    series: dict[tuple[str, str], dict[int, float]] = {}
    for config, accuracy in results:
        series.setdefault((config.strategy, config.partition), {})[config.seed] = accuracy
    first = results[0][0]
    how = (
        f"{first.data}, {first.clients} clients, {first.rounds} rounds of {first.local_epochs} "
        f"epochs, {first.shots} images per class of all clients together"
    )
    last = min(LAST, first.rounds)
    tables = [
        Table(
            "federated-accuracy",
            "Mean accuracy of the clients",
            f"On each client's own test images, in percent; mean of the last {last} rounds, ± "
            f"standard deviation over {seeds} seeds. {how}.",
            ("strategy",),
            partitions,
            (Block(with_best_in_bold(_lines(strategies, partitions, series), seeds)),),
        )
    ]
    if ALONE in strategies and len(strategies) > 1:
        gains = {
            (strategy, partition): difference(values, series.get((ALONE, partition), {}))
            for (strategy, partition), values in series.items()
        }
        others = tuple(strategy for strategy in strategies if strategy != ALONE)
        tables.append(
            Table(
                "federated-gain",
                "Gain over training alone",
                "Points more than training alone, same partition and seed; mean ± standard "
                f"deviation over {seeds} seeds.",
                ("strategy",),
                partitions,
                (Block(_lines(others, partitions, gains, signed=True)),),
            )
        )
    return tables


def _lines(
    strategies: Sequence[str],
    partitions: Sequence[str],
    series: Mapping[tuple[str, str], Series],
    signed: bool = False,
) -> tuple[Line, ...]:
    return tuple(
        Line(
            (find_strategy(strategy).label,),
            tuple(
                mean_cell([series.get((strategy, partition), {})], signed)
                for partition in partitions
            ),
        )
        for strategy in strategies
    )
