"""Rounds of a federation, simulated in one process: everything that travels, and nothing else."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from mocoop.clip.backbone import Backbone, load_backbone
from mocoop.datasets import Dataset, load_dataset
from mocoop.features.cache import FeatureCache
from mocoop.federated.attention_gate import BesideOthers
from mocoop.federated.client import Client
from mocoop.federated.partitions import Partition, make_partition
from mocoop.federated.server import Server, State, Update
from mocoop.federated.settings import FederatedConfig
from mocoop.federated.strategies import find_strategy
from mocoop.model.hard_prompts import HardText, group_prototypes, hard_features
from mocoop.model.mixture import build_model
from mocoop.training.image_sources import CachedImages
from mocoop.training.loop import TrainingData
from mocoop.training.optimizer import DivergedError
from mocoop.training.prepare import Prepared, prepare


@dataclass(frozen=True)
class RoundRecord:
    """What happened in a round; round 0 is before training. Accuracies are in percent."""

    number: int
    accuracies: dict[str, float]
    """Client → accuracy on its own test images, of all clients, also of those that were absent."""
    took_part: tuple[str, ...] = ()
    foreign: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Client → whose prompts it received."""
    refused: dict[str, str] = field(default_factory=dict)
    """Client → why what it sent was not used."""
    floats_sent: int = 0
    """Numbers that all clients sent to the server together."""
    floats_received: int = 0
    """Numbers that all clients received from the server together."""
    seconds: float = 0.0

    @property
    def mean(self) -> float:
        """The mean accuracy of all clients, each with equal weight."""
        return statistics.fmean(self.accuracies.values())


class Federation:
    """Clients and server of a federation in one process.

    Args:
        config: the settings.
        partition: who holds which images; made from the settings if None.
        dataset: the data; loaded by the name in the settings if None.
        backbone: the CLIP; loaded by the name in the settings if None.

    Raises:
        UserError: for settings, data and partition that do not fit together.
    """

    def __init__(
        self,
        config: FederatedConfig,
        partition: Partition | None = None,
        dataset: Dataset | None = None,
        backbone: Backbone | None = None,
    ) -> None:
        self.config = config
        self.strategy = find_strategy(config.strategy)
        dataset = dataset or load_dataset(config.data)
        training = config.training()
        self.partition = partition or make_partition(
            config.partition, dataset, training, config.clients, config.beta
        )
        backbone = backbone or load_backbone(training.backbone)
        prepared = prepare(training, dataset, backbone)
        self.clients = _clients(config, prepared, self.partition)
        self.server = Server(self.clients[0].travelling(), config.most_change)
        self.done = 0
        self.started = False  # whether the record before training has been made

    def run(self, lost: Sequence[tuple[int, str]] = ()) -> Iterator[RoundRecord]:
        """Trains the remaining rounds; yields a record before training and after each round.

        Args:
            lost: (round, client): the client vanishes in this round, after it was chosen; the
                round goes on without it.
        """
        if not self.started:
            self.started = True
            yield RoundRecord(0, self.accuracies())
        for number in range(self.done + 1, self.config.rounds + 1):
            record = self._round(number, {name for when, name in lost if when == number})
            self.done = number
            yield record

    def accuracies(self) -> dict[str, float]:
        """Returns the accuracy of each client on its own test images, in percent."""
        return {client.name: client.accuracy() for client in self.clients}

    def _round(self, number: int, lost: set[str]) -> RoundRecord:
        started = time.perf_counter()
        chosen = self._chosen(number)
        shared = dict(self.server.shared)
        updates: list[Update] = []
        refused = dict.fromkeys(lost, "it did not answer")
        foreign: dict[str, tuple[str, ...]] = {}
        received = 0
        for client in chosen:
            prompts: list[State] = []
            if self.strategy.foreign and client.name in self.server.pool:
                names = self.server.nearest(client.name, self.config.foreign)
                prompts = [self.server.pool[name] for name in names]
                foreign[client.name] = tuple(names)
            received += _floats(shared) + sum(map(_floats, prompts))
            if client.name in lost:
                continue
            try:
                updates.append(client.train(number, shared, prompts))
            except DivergedError as error:
                refused[client.name] = str(error)
        refused |= self.server.receive(updates)
        for client in self.clients:
            if not self.strategy.foreign:  # a personal prompt stays the client's own
                client.load(self.server.shared)
        return RoundRecord(
            number,
            self.accuracies(),
            tuple(client.name for client in chosen),
            foreign,
            refused,
            sum(_floats(update.state) for update in updates),
            received,
            time.perf_counter() - started,
        )

    def _chosen(self, number: int) -> list[Client]:
        """Returns the clients of a round, in the order of the partition."""
        count = max(1, int(self.config.participation * len(self.clients)))
        generator = random.Random(f"{self.config.seed}/{number}")
        drawn = set(generator.sample(range(len(self.clients)), count))
        return [client for index, client in enumerate(self.clients) if index in drawn]


def _floats(state: State) -> int:
    return sum(value.numel() for value in state.values())


def _clients(config: FederatedConfig, prepared: Prepared, partition: Partition) -> list[Client]:
    """Returns the clients of a partition, with equal untrained models."""
    strategy, training, backbone = (
        find_strategy(config.strategy),
        prepared.config,
        prepared.backbone,
    )
    dataset = prepared.dataset
    hard = hard_features(backbone.text, prepared.groups, dataset.class_names)
    text = HardText.from_features(
        tuple(part.cpu() for part in hard),
        group_prototypes(hard).cpu(),
        training.text_target == "templates",
    )
    cache = FeatureCache(backbone)
    device = backbone.device
    clients = []
    parts = zip(
        partition.clients,
        partition.items(dataset, "train"),
        partition.items(dataset, "test"),
        strict=True,
    )
    for share, train, test in parts:
        generator = torch.Generator().manual_seed(training.seed)
        model = build_model(training, backbone, prepared.groups, generator)
        if strategy.foreign:
            model = BesideOthers.of(model, backbone.text.dim, config.own_weight)
        data = TrainingData(
            CachedImages(cache.features(dataset, train, training.views, training.seed)),
            torch.tensor([item.label for item in train]),
            CachedImages(cache.features(dataset, [])),
            torch.tensor([], dtype=torch.long),
            dataset.class_names,
            len(dataset.class_names),
            text,
        ).to(device)
        clients.append(
            Client(
                share.name,
                strategy,
                training,
                model,
                backbone.text,
                data,
                cache.features(dataset, test)[:, 0].to(device),
                torch.tensor([item.label for item in test], device=device),
                config.local_epochs,
            )
        )
    return clients
