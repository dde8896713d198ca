"""Federations on Flower's simulation: the numbers of the engine in one process, to the last digit.

`make test-flower` runs these: Flower needs older packages than the rest of the project.
"""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.federated.federation import Federation
from mocoop.federated.flower import client_app, rounds_on, simulate
from mocoop.federated.partitions import make_partition

pytest.importorskip("flwr")
TaskIdentity = pytest.importorskip("flwr.supercore.task_identity").TaskIdentity
pytestmark = [pytest.mark.flower, pytest.mark.timeout(900)]


def numbers(records):
    return [replace(record, seconds=0.0) for record in records]


@pytest.mark.parametrize("strategy", ["pfedmoap", "mocoop"])
def test_numbers_are_those_of_one_process(config, strategy):
    config = replace(config, strategy=strategy, participation=0.7)
    told = []
    records = simulate(config, None, told.append)
    assert numbers(records) == numbers(Federation(config).run())
    assert told == records
    assert [record.number for record in records] == [0, 1, 2, 3]
    assert all(record.refused == {} for record in records)


class GridHere:
    """A grid whose nodes answer in this process; some of them late, or with something else."""

    def __init__(self, count, spoil=None):
        from flwr.app import Context, RecordDict

        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, 1
        self.app, self.spoil, self.rounds = client_app(), spoil or {}, 0
        self.contexts = {
            node: Context(1, node, {"partition-id": node - 10}, RecordDict(), {})
            for node in range(10, 10 + count)
        }

    def get_node_ids(self):
        return list(self.contexts)

    def send_and_receive(self, messages, timeout):
        messages = list(messages)
        kind = messages[0].metadata.message_type
        self.rounds += kind == "train"
        for message in messages:
            node = message.metadata.dst_node_id
            message.metadata.__dict__["_message_id"] = str(node)  # as Flower sets it
            reply = self.app(message, self.contexts[node])
            spoil = self.spoil.get((self.rounds, node))
            if spoil == "late":  # to both questions of the round
                continue
            if kind != "train":
                spoil = None
            if spoil is not None:
                reply.content["mocoop"]["state"] = spoil
            yield reply


def test_late_and_damaged_answers_are_left_out_and_the_round_ends(config):
    config = replace(config, strategy="fedavg")
    data = load_dataset(config.data)
    partition = make_partition(config.partition, data, config.training(), config.clients)
    spoil = {(1, 11): "late", (2, 12): pickle.dumps([1]), (3, 10): b""}
    records = list(rounds_on(GridHere(3, spoil), config, partition).run())
    assert records[1].refused == {"client 2": "it did not answer"}
    assert records[1].accuracies["client 2"] == records[0].accuracies["client 2"]
    assert list(records[2].refused) == ["client 3"]
    assert "cannot be read: a message holds no parameters" in records[2].refused["client 3"]
    assert list(records[3].refused) == ["client 1"]
    whole = list(rounds_on(GridHere(3), config, partition).run())
    assert numbers(whole) == numbers(Federation(config, partition).run())


def test_a_missing_node_is_told(config):
    data = load_dataset(config.data)
    partition = make_partition(config.partition, data, config.training(), config.clients)
    with pytest.raises(UserError, match=r"No node is client 3\. Start one node per client"):
        rounds_on(GridHere(2), config, partition, seconds=0.5)
