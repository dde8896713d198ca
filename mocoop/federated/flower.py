"""Federations on Flower: the same server and clients, with Flower's messages between them.

Flower is an extra (`pip install "mocoop[flower]"`) and is imported only when it is asked for. What
travels is a `ConfigRecord` of text and bytes; parameters are safetensors, and nothing is unpickled
that came from another machine. A client keeps its private parameters in Flower's `Context`, which
stays on its own machine.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mocoop.errors import UserError
from mocoop.federated.federation import NO_ANSWER, Order, RoundRecord, Rounds
from mocoop.federated.messages import from_bytes, to_bytes
from mocoop.federated.partitions import Partition, from_json
from mocoop.federated.server import Server, State, Update
from mocoop.federated.settings import FederatedConfig

KIND = "mocoop"  # the name of the record in every message and in a client's context
SECONDS = 3600.0  # that a client has to answer
START_SECONDS = 300.0  # that all nodes together have to appear, and to say who they are
POLL_SECONDS = 0.2
NOT_INSTALLED = 'Flower is not installed. Install it: pip install "mocoop[flower]"'


def check_flower() -> None:
    """Raises UserError if Flower is not installed; switches off its telemetry."""
    if find_spec("flwr") is None:
        raise UserError(NOT_INSTALLED)
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")


def simulate(
    config: FederatedConfig,
    partition: Partition | None,
    tell: Callable[[RoundRecord], None],
    seconds: float = SECONDS,
) -> list[RoundRecord]:
    """Trains a federation in Flower's simulation, which runs on Ray; returns all records.

    Args:
        config: the settings.
        partition: who holds which images; made from the settings if None.
        tell: is called with every record as soon as its round is done.
        seconds: a client that has not answered by then is left out of the round.

    Raises:
        UserError: if Flower is missing, or settings and data do not fit together.
    """
    check_flower()
    from flwr.serverapp import ServerApp
    from flwr.simulation import run_simulation

    partition = partition or partition_of(config)
    records: list[RoundRecord] = []
    failed: list[UserError] = []
    app = ServerApp()

    @app.main()
    def main(grid: Any, context: Any) -> None:
        try:
            for record in rounds_on(grid, config, partition, seconds).run():
                records.append(record)
                tell(record)
        except UserError as error:
            failed.append(error)

    run_simulation(
        server_app=app,
        client_app=client_app(),
        num_supernodes=len(partition.clients),
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"logging_level": "ERROR", "log_to_driver": False},
        },
    )
    if failed:
        raise failed[0]
    return records


def rounds_on(
    grid: Any,
    config: FederatedConfig,
    partition: Partition,
    seconds: float = SECONDS,
    start_seconds: float = START_SECONDS,
) -> Rounds:
    """Returns the server's side of a federation whose clients are the nodes of a Flower grid.

    Args:
        grid: Flower's grid.
        config: the settings.
        partition: who holds which images.
        seconds: a client that has not answered by then is left out of the round.
        start_seconds: that all nodes have to appear, and to say which client they are.
    """
    clients = ClientsOnFlower(grid, config, partition, seconds, start_seconds)
    server = Server(clients.start(), config.most_change, config.noise * config.clip)
    return Rounds(config, server, clients)


class ClientsOnFlower:
    """The clients of a federation behind a Flower grid.

    Args:
        grid: Flower's grid, with one node per client. A node says by the `partition-id` of its
            configuration which client of the partition it is.
        config: the settings.
        partition: who holds which images; a client gets its own part of it alone.
        seconds: that a client has to answer.
        start_seconds: that all nodes have to appear, and to say which client they are.

    Raises:
        UserError: if the nodes are not those of the clients.
    """

    def __init__(
        self,
        grid: Any,
        config: FederatedConfig,
        partition: Partition,
        seconds: float = SECONDS,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self.grid, self.seconds = grid, seconds
        self.names = tuple(client.name for client in partition.clients)
        self.settings = json.dumps(config.to_dict())
        self.shares = {
            share.name: json.dumps({**partition.to_dict(), "clients": [vars(share)]})
            for share in partition.clients
        }
        self.told: dict[str, float] = {}  # client → the accuracy that it told last
        self.nodes: dict[str, int] = {}  # client → its node
        self.asked: set[int] = set()  # nodes that were asked who they are
        self._wait_for_nodes(start_seconds)

    def start(self) -> State:
        """Returns the parameters that travel, before any training, as a client has them."""
        first = self.names[0]
        replies, silent = self._ask("query.start", {first: {}}, max(self.seconds, START_SECONDS))
        if first not in replies:
            raise UserError(f"{first} does not start: {silent[first]}.")
        return from_bytes(replies[first]["state"])

    def train(self, number: int, orders: Sequence[Order]) -> tuple[list[Update], dict[str, str]]:
        """Lets the clients of the orders train at the same time."""
        asked = {
            order.client: {
                "number": number,
                "shared": to_bytes(order.shared),
                "foreign": [to_bytes(state) for state in order.foreign],
            }
            for order in orders
        }
        replies, silent = self._ask("train", asked)
        updates = []
        for order in orders:
            reply = replies.get(order.client)
            if reply is None:
                continue
            try:
                state = from_bytes(reply["state"])
                updates.append(Update(order.client, int(reply["images"]), state))
            except (UserError, KeyError, TypeError, ValueError) as error:
                silent[order.client] = f"its answer cannot be read: {error}"
        return updates, silent

    def accuracies(self, shared: State | None) -> dict[str, float]:
        """Returns each client's accuracy on its own test images, in percent.

        A client that does not answer keeps the accuracy that it told last.

        Raises:
            UserError: if a client has never told one.
        """
        given = {} if shared is None else {"shared": to_bytes(shared)}
        replies, silent = self._ask("evaluate", dict.fromkeys(self.names, given))
        self.told |= {name: float(reply["accuracy"]) for name, reply in replies.items()}
        for name, why in silent.items():
            if name not in self.told:
                raise UserError(f"{name} did not tell its accuracy: {why}.")
        return {name: self.told[name] for name in self.names}

    def _wait_for_nodes(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        why = self._find(seconds)
        while len(self.nodes) < len(self.names) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
            why = self._find(seconds) or why
            if len(self.asked) >= len(self.names):
                break
        missing = [name for name in self.names if name not in self.nodes]
        if missing:
            raise UserError(
                f"No node is {missing[0]}{why}. Start one node per client, each with its own "
                f"partition-id, from 0 to {len(self.names) - 1}."
            )

    def _find(self, seconds: float) -> str:
        """Asks new nodes which client they are; returns why one does not say it, or ""."""
        from flwr.app import ConfigRecord, Message, RecordDict

        new = [node for node in self.grid.get_node_ids() if node not in self.asked]
        if not new:
            return ""
        self.asked.update(new)
        messages = [
            Message(RecordDict({KIND: ConfigRecord({})}), node, "query.who") for node in new
        ]
        why = ""
        for reply in self.grid.send_and_receive(messages, timeout=seconds):
            if reply.has_error():
                why = f" ({reply.error.reason})"
                continue
            index = int(reply.content[KIND]["partition-id"])
            if 0 <= index < len(self.names):
                self.nodes[self.names[index]] = reply.metadata.src_node_id
        return why

    def _ask(
        self, kind: str, asked: dict[str, dict[str, Any]], seconds: float = 0.0
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Returns client → answer, and client → why there is none; 0 seconds: as many as usual."""
        from flwr.app import ConfigRecord, Message, RecordDict

        seconds = seconds or self.seconds
        self._find(seconds)  # a client that was started again is another node
        clients = {self.nodes[name]: name for name in asked}
        messages = []
        for name, values in asked.items():
            own = {"settings": self.settings, "partition": self.shares[name]}
            content = RecordDict({KIND: ConfigRecord({**own, **values})})
            messages.append(Message(content, self.nodes[name], kind))
        replies, silent = {}, dict.fromkeys(asked, NO_ANSWER)
        for reply in self.grid.send_and_receive(messages, timeout=seconds):
            node = reply.metadata.src_node_id
            if node not in clients:  # the SuperLink itself answers for a node that is gone
                continue
            name = clients[node]
            if reply.has_error():
                silent[name] = f"it failed ({reply.error.reason})"
                continue
            answer = reply.content[KIND]
            if "failed" in answer:
                silent[name] = str(answer["failed"])
            else:
                replies[name] = answer
                del silent[name]
        return replies, silent


def client_app() -> Any:
    """Returns Flower's `ClientApp` of a client, for the simulation and for a node of its own."""
    check_flower()
    from flwr.clientapp import ClientApp

    app = ClientApp()
    app.query("who")(_who)
    app.query("start")(_start)
    app.train()(_train)
    app.evaluate()(_evaluate)
    return app


def _who(message: Any, context: Any) -> Any:
    return _reply(message, {"partition-id": int(context.node_config.get("partition-id", -1))})


def _start(message: Any, context: Any) -> Any:
    client, start = _client(message)
    client.restore(start)
    return _reply(message, {"state": to_bytes(client.travelling())})


def _train(message: Any, context: Any) -> Any:
    from mocoop.training.optimizer import DivergedError

    asked, client = message.content[KIND], _restored(message, context)
    try:
        update = client.train(
            int(asked["number"]),
            from_bytes(asked["shared"]),
            [from_bytes(content) for content in asked["foreign"]],
        )
    except DivergedError as error:
        _keep(client, context)
        return _reply(message, {"failed": str(error)})
    _keep(client, context)
    return _reply(message, {"images": update.images, "state": to_bytes(update.state)})


def _evaluate(message: Any, context: Any) -> Any:
    asked, client = message.content[KIND], _restored(message, context)
    if "shared" in asked:
        client.load(from_bytes(asked["shared"]))
        _keep(client, context)
    return _reply(message, {"accuracy": client.accuracy()})


def _restored(message: Any, context: Any) -> Any:
    """Returns the client of a message, with what it kept in its context."""
    client, start = _client(message)
    kept = context.state.get(KIND)
    client.restore(start if kept is None else from_bytes(kept["state"]))
    return client


def _keep(client: Any, context: Any) -> None:
    from flwr.app import ConfigRecord

    context.state[KIND] = ConfigRecord({"state": to_bytes(client.state())})


def _reply(message: Any, values: dict[str, Any]) -> Any:
    from flwr.app import ConfigRecord, Message, RecordDict

    return Message(RecordDict({KIND: ConfigRecord(values)}), reply_to=message)


def _client(message: Any) -> tuple[Any, State]:
    """Returns the client that a message is for, and its untrained state."""
    asked = message.content[KIND]
    return _built(asked["settings"], asked["partition"])


# A message may find the client built already by one before it: loading a CLIP takes longer than a
# round. It depends on nothing but these two texts, and its state is restored for every message.
@lru_cache(maxsize=64)
def _built(settings: str, partition: str) -> tuple[Any, State]:
    from mocoop.clip.backbone import load_backbone
    from mocoop.datasets import load_dataset
    from mocoop.federated.build import make_clients
    from mocoop.training.prepare import prepare

    config = FederatedConfig.from_dict(json.loads(settings))
    training = config.training()
    prepared = prepare(training, load_dataset(config.data), load_backbone(training.backbone))
    (client,) = make_clients(config, prepared, from_json(json.loads(partition), Path("a message")))
    return client, client.state()


def partition_of(config: FederatedConfig) -> Partition:
    """Returns the partition that the settings ask for."""
    from mocoop.datasets import load_dataset
    from mocoop.federated.partitions import make_partition

    return make_partition(
        config.partition, load_dataset(config.data), config.training(), config.clients, config.beta
    )
