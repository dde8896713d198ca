"""Rounds of a federation: the server's side, and clients that train in the same process."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from mocoop.clip.backbone import Backbone, load_backbone
from mocoop.datasets import Dataset, load_dataset
from mocoop.federated.build import make_clients
from mocoop.federated.client import Client
from mocoop.federated.partitions import Partition, make_partition
from mocoop.federated.privacy import check_opacus, epsilon
from mocoop.federated.server import Server, State, Update
from mocoop.federated.settings import FederatedConfig
from mocoop.federated.strategies import find_strategy
from mocoop.training.optimizer import DivergedError
from mocoop.training.prepare import prepare

NO_ANSWER = "it did not answer"


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
    epsilon: float | None = None
    """Differential privacy so far of the client that was asked most often, for the delta of the
    settings; None without noise."""

    @property
    def mean(self) -> float:
        """The mean accuracy of all clients, each with equal weight."""
        return statistics.fmean(self.accuracies.values())


@dataclass(frozen=True)
class Order:
    """What the server sends to a client at the beginning of a round."""

    client: str
    shared: State
    foreign: tuple[State, ...] = ()
    """Other clients' prompts, for a strategy with foreign prompts."""


class Clients(Protocol):
    """The clients of a federation, wherever they train."""

    names: tuple[str, ...]

    def train(self, number: int, orders: Sequence[Order]) -> tuple[list[Update], dict[str, str]]:
        """Returns the updates in the order of the orders, and client → why it sent none."""

    def accuracies(self, shared: State | None) -> dict[str, float]:
        """Returns each client's accuracy on its own test images, in percent.

        Args:
            shared: parameters that all clients take over before; None if each keeps its own.
        """


class Rounds:
    """The server's side of a federation: whom it asks, what it sends, what it does with answers.

    Args:
        config: the settings.
        server: averages what clients send.
        clients: the clients.
    """

    def __init__(self, config: FederatedConfig, server: Server, clients: Clients) -> None:
        self.config = config
        self.strategy = find_strategy(config.strategy)
        self.server = server
        self.everyone = clients
        self.done = 0
        self.started = False  # whether the record before training has been made
        self.asked: Counter[str] = Counter()  # client → rounds in which it was asked to train
        if config.noise:
            check_opacus()

    def run(self, lost: Sequence[tuple[int, str]] = ()) -> Iterator[RoundRecord]:
        """Trains the remaining rounds; yields a record before training and after each round.

        Args:
            lost: (round, client): the client vanishes in this round, after it was chosen; the
                round goes on without it.
        """
        if not self.started:
            self.started = True
            yield RoundRecord(0, self.everyone.accuracies(None))
        for number in range(self.done + 1, self.config.rounds + 1):
            record = self._round(number, {name for when, name in lost if when == number})
            self.done = number
            yield record

    def _round(self, number: int, lost: set[str]) -> RoundRecord:
        started = time.perf_counter()
        chosen = self._chosen(number)
        shared = dict(self.server.shared)
        orders = []
        foreign: dict[str, tuple[str, ...]] = {}
        if self.strategy.foreign:
            known = [name for name in chosen if name in self.server.pool]
            near = self.server.nearest(known, self.config.foreign)
            foreign = {name: tuple(near[name]) for name in known}
        received = 0
        for name in chosen:
            prompts = [self.server.pool[other] for other in foreign.get(name, ())]
            received += _floats(shared) + sum(map(_floats, prompts))
            if name not in lost:
                orders.append(Order(name, shared, tuple(prompts)))
        self.asked.update(chosen)
        updates, silent = self.everyone.train(number, orders)
        refused = dict.fromkeys(lost, NO_ANSWER) | silent | self.server.receive(updates)
        # With foreign prompts a personal prompt stays the client's own.
        average = None if self.strategy.foreign else self.server.shared
        return RoundRecord(
            number,
            self.everyone.accuracies(average),
            tuple(chosen),
            foreign,
            refused,
            sum(_floats(update.state) for update in updates),
            received,
            time.perf_counter() - started,
            self._epsilon(),
        )

    def _epsilon(self) -> float | None:
        if not self.config.noise:
            return None
        return epsilon(self.config.noise, self.config.delta, max(self.asked.values()))

    def _chosen(self, number: int) -> list[str]:
        """Returns the clients of a round, in the order of the partition."""
        names = self.everyone.names
        # Exactly: 0.58 * 50 is a little less than 29 in floating-point numbers.
        count = max(1, int(Fraction(str(self.config.participation)) * len(names)))
        generator = random.Random(f"{self.config.seed}/{number}")
        drawn = set(generator.sample(range(len(names)), count))
        return [name for index, name in enumerate(names) if index in drawn]


class ClientsHere:
    """Clients that train in this process, one after the other.

    Args:
        clients: the clients, in the order of the partition.
    """

    def __init__(self, clients: Sequence[Client]) -> None:
        self.clients = list(clients)
        self.names = tuple(client.name for client in clients)

    def train(self, number: int, orders: Sequence[Order]) -> tuple[list[Update], dict[str, str]]:
        """Trains the clients of the orders; a diverging one sends nothing."""
        by_name = {client.name: client for client in self.clients}
        updates, silent = [], {}
        for order in orders:
            try:
                updates.append(by_name[order.client].train(number, order.shared, order.foreign))
            except DivergedError as error:
                silent[order.client] = str(error)
        return updates, silent

    def accuracies(self, shared: State | None) -> dict[str, float]:
        """Returns each client's accuracy on its own test images, in percent."""
        if shared is not None:
            for client in self.clients:
                client.load(shared)
        return {client.name: client.accuracy() for client in self.clients}


class Federation(Rounds):
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
        dataset = dataset or load_dataset(config.data)
        training = config.training()
        self.partition = partition or make_partition(
            config.partition, dataset, training, config.clients, config.beta
        )
        backbone = backbone or load_backbone(training.backbone)
        self.clients = make_clients(config, prepare(training, dataset, backbone), self.partition)
        server = Server(
            self.clients[0].travelling(), config.most_change, config.noise * config.clip
        )
        super().__init__(config, server, ClientsHere(self.clients))


def _floats(state: State) -> int:
    return sum(value.numel() for value in state.values())
