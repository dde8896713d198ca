"""Many federations of the same data: partitions × strategies × seeds, each in a folder."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mocoop.datasets import absolute_source
from mocoop.errors import UserError
from mocoop.federated.federation import RoundRecord
from mocoop.federated.settings import FederatedConfig
from mocoop.federated.store import read_records, run_federation
from mocoop.federated.strategies import find_strategy
from mocoop.runs.paths import data_in_name
from mocoop.storage.atomic import explain_write_errors
from mocoop.storage.engines import Engine, shared_folder

LAST = 5  # rounds over which pFedMoAP's authors average


@dataclass(frozen=True)
class Comparison:
    """Federations that differ in partition, strategy and seed alone."""

    partitions: tuple[str, ...]
    strategies: tuple[str, ...]
    seeds: tuple[int, ...]
    settings: FederatedConfig = field(default_factory=FederatedConfig)
    """All other settings."""

    def __post_init__(self) -> None:
        for name in ("partitions", "strategies", "seeds"):
            values = getattr(self, name)
            if not values:
                raise UserError(f"Name at least one of the {name} to compare.")
            if len(set(values)) < len(values):
                raise UserError(f"The {name} to compare repeat: {', '.join(map(str, values))}.")

    def configs(self) -> list[FederatedConfig]:
        """Returns the settings of every federation; those of a partition and seed are together.

        Federations of the same partition and seed have the same clients, because a partition
        depends on data, shots, seed and its own settings, and on no strategy. Paths are absolute,
        so that they name the same data wherever the command is given, and on every node.
        """
        settings = replace(self.settings, data=absolute_source(self.settings.data))
        return [
            replace(settings, partition=partition, strategy=strategy, seed=seed)
            for partition in self.partitions
            for seed in self.seeds
            for strategy in self.strategies
        ]


def compare(
    comparison: Comparison, root: Path, engine: Engine | None = None
) -> Iterator[tuple[FederatedConfig, list[RoundRecord]]]:
    """Yields the settings and the records of every federation, as soon as it is finished.

    Finished federations are not repeated, and stopped ones go on after their last finished round.

    Args:
        comparison: what is compared.
        root: the folder of the federations' folders; on Ray, all nodes have to reach it.
        engine: where they train; this process, one after the other, if None.

    Raises:
        UserError: for settings, data and partitions that do not fit together.
    """
    configs = comparison.configs()
    root = shared_folder(root)
    jobs = [(config, root) for config in configs]
    names = [folder_name(config) for config in configs]
    for index, path in (engine or Engine()).map(finish, jobs, names):
        yield configs[index], read_records(path)


def finish(config: FederatedConfig, root: Path) -> Path:
    """Returns the folder of the finished federation with these settings; trains what is missing.

    Args:
        config: the settings.
        root: the folder of the federations' folders.
    """
    path = root / folder_name(config)
    with explain_write_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        if not is_finished(config, read_records(path)):
            for _ in run_federation(path, config, wait=True):
                pass
    return path


def is_finished(config: FederatedConfig, records: Sequence[RoundRecord]) -> bool:
    """Returns whether all rounds are done."""
    return bool(records) and records[-1].number == config.rounds


def folder_name(config: FederatedConfig) -> str:
    """Returns the name of a federation's folder: readable, and unique for its settings."""
    # Defaults are left out, so that a new setting does not change the names of older folders.
    usual = FederatedConfig().to_dict()
    if find_strategy(config.strategy).foreign:
        usual["gate_rate"] = None  # older folders had another rate than their settings say
    changed = {name: v for name, v in config.to_dict().items() if v != usual[name]}
    text = json.dumps(changed, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:10]
    data = data_in_name(config.data)
    return f"{data}-{config.partition}-{config.strategy}-seed{config.seed}-{key}"


def last_accuracy(records: Sequence[RoundRecord]) -> float:
    """Returns the mean accuracy of all clients in the last five rounds, in percent.

    pFedMoAP's authors report this mean.

    Raises:
        UserError: if no round is finished.
    """
    means = [record.mean for record in records if record.number > 0][-LAST:]
    if not means:
        raise UserError("No round of the federation is finished.")
    return statistics.fmean(means)
