"""The nearest prompts of a pool, against a search that compares one pair after the other."""

from __future__ import annotations

import pytest
import torch

from mocoop.federated import nearest
from mocoop.federated.nearest import distance, nearest_prompts


def one_by_one(pool, clients, count):
    return {
        client: sorted(
            (name for name in pool if name != client),
            key=lambda name: (distance(pool[name], pool[client]), name),
        )[:count]
        for client in clients
    }


def prompts(spread, clients=40, equal=0):
    generator = torch.Generator().manual_seed(3)
    start = {"context": torch.randn(2, 5, generator=generator), "end": torch.randn(3)}
    pool = {}
    for number in range(clients):
        noise = 0.0 if number < equal else spread
        pool[f"client {number}"] = {
            name: value + noise * torch.randn(value.shape, generator=generator)
            for name, value in start.items()
        }
    return pool


@pytest.mark.parametrize("spread", [1.0, 1e-4, 3e-7], ids=["far", "near", "a few bits apart"])
@pytest.mark.parametrize("count", [1, 9, 60])
def test_equal_to_the_search_by_pairs(monkeypatch, spread, count):
    monkeypatch.setattr(nearest, "_CHUNK", 7)
    pool = prompts(spread, equal=4)
    clients = list(pool)[1::2]
    assert nearest_prompts(pool, clients, count) == one_by_one(pool, clients, count)


def test_equal_prompts_follow_their_names():
    pool = prompts(0.0)
    near = nearest_prompts(pool, ["client 0"], 3)
    assert near == {"client 0": ["client 1", "client 10", "client 11"]}


def test_few_pairs_are_compared_one_by_one(monkeypatch):
    compared = []
    monkeypatch.setattr(nearest, "distance", lambda a, b: compared.append(0) or distance(a, b))
    pool = prompts(1.0, clients=100)
    nearest_prompts(pool, list(pool), 5)
    assert len(compared) == 500


def test_pools_with_nobody_else_or_nothing_in_them():
    pool = prompts(1.0, clients=1)
    assert nearest_prompts(pool, ["client 0"], 3) == {"client 0": []}
    assert nearest_prompts({}, [], 3) == {}
    empty = {"a": {}, "b": {}, "c": {}}
    assert nearest_prompts(empty, ["b"], 3) == {"b": ["a", "c"]}
