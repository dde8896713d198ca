"""Federations on Flower's simulation: the numbers of the engine in one process, to the last digit.

`make test-flower` runs these: Flower needs older packages than the rest of the project.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from mocoop.federated.federation import Federation
from mocoop.federated.flower import simulate
from mocoop.federated.settings import FederatedConfig
from tests.support.tiny_data import picture_folder, tiny_checkpoint

pytest.importorskip("flwr")
pytestmark = pytest.mark.flower


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    return FederatedConfig(
        data=picture_folder(tmp_path / "pictures"),
        backbone=tiny_checkpoint(tmp_path / "clip"),
        clients=3,
        rounds=3,
        local_epochs=1,
        shots=3,
        foreign=1,
        learning_rate=0.02,
    )


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
