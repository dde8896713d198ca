"""Differential privacy: clip and noise do what they say, and ε is the accountant's."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mocoop.errors import UserError
from mocoop.federated.federation import Federation
from mocoop.federated.privacy import epsilon, noise_generator, privatize
from mocoop.federated.settings import FederatedConfig
from mocoop.federated.store import run_federation
from tests.support.tiny_data import picture_folder, tiny_checkpoint


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    return FederatedConfig(
        data=picture_folder(tmp_path / "pictures"),
        backbone=tiny_checkpoint(tmp_path / "clip"),
        strategy="fedavg",
        clients=3,
        rounds=2,
        local_epochs=1,
        shots=3,
        learning_rate=0.02,
    )


def state(*values):
    return {"a": torch.tensor(values[:1]), "b": torch.tensor(values[1:])}


def sent(own, shared, clip, noise, seed=1):
    return privatize(own, shared, clip, noise, noise_generator(seed, "client 1", 1))


def test_a_long_change_is_shortened_and_a_short_one_is_not():
    shared = state(1.0, 1.0, 1.0)
    own = state(3.0, 1.0 + 3.0, 1.0 + 6.0)  # a change of norm 7
    torch.testing.assert_close(sent(own, shared, 3.5, 0.0), state(2.0, 2.5, 4.0))
    torch.testing.assert_close(sent(own, shared, 7.5, 0.0), own)
    torch.testing.assert_close(sent(shared, shared, 1.0, 0.0), shared)


def test_two_clients_differ_by_twice_the_clip_at_most():
    shared, clip = state(0.0, 0.0, 0.0), 0.5
    rows = np.random.default_rng(0).normal(size=(40, 3)) * 100
    every = [sent(state(*row), shared, clip, 0.0) for row in rows.tolist()]
    flat = torch.stack([torch.cat([one["a"], one["b"]]) for one in every])
    assert 0.9 * 2 * clip < float(torch.cdist(flat, flat).max()) <= 2 * clip + 1e-6


def test_the_noise_has_the_stated_deviation_and_the_rounds_differ():
    shared = {"a": torch.zeros(200, 100)}
    noisy = sent(shared, shared, clip=0.5, noise=3.0)["a"]
    assert float(noisy.std()) == pytest.approx(1.5, rel=0.02)
    assert abs(float(noisy.mean())) < 0.05
    assert torch.equal(noisy, sent(shared, shared, 0.5, 3.0)["a"])
    for client, number, seed in (("client 2", 1, 1), ("client 1", 2, 1), ("client 1", 1, 2)):
        other = privatize(shared, shared, 0.5, 3.0, noise_generator(seed, client, number))["a"]
        assert abs(float(np.corrcoef(noisy.flatten(), other.flatten())[0, 1])) < 0.05


def test_what_the_clients_of_a_federation_send_is_clipped(config):
    federation = Federation(replace(config, clip=1e-3))
    before = dict(federation.server.shared)
    (_, record) = [one for one in federation.run() if one.number < 2]
    assert record.refused == {}
    assert record.epsilon is None  # a clip alone protects nobody
    for update in federation.server.pool.values():
        squares = [(update[name] - before[name]).square().sum() for name in update]
        assert float(torch.stack(squares).sum().sqrt()) > 0
    first = federation.clients[0].train(3, federation.server.shared)
    squares = [(first.state[n] - v).square().sum() for n, v in federation.server.shared.items()]
    assert float(torch.stack(squares).sum().sqrt()) <= 1e-3 * 1.001


@pytest.mark.parametrize(("noise", "rounds"), [(2.0, 1), (8.0, 10)])
def test_epsilon_is_that_of_gaussian_noise_on_replaced_images(noise, rounds):
    """By hand: RDP of T Gaussian mechanisms is T α / 2 σ², with σ in units of 2 × clip."""
    pytest.importorskip("opacus")
    delta, sigma = 1e-5, noise / 2
    orders = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64))
    by_hand = min(
        rounds * a / (2 * sigma**2) + math.log1p(-1 / a) - math.log(delta * a) / (a - 1)
        for a in orders
    )
    assert epsilon(noise, delta, rounds) == pytest.approx(by_hand, rel=1e-6)
    assert epsilon(noise, delta, 0) == 0.0
    assert epsilon(noise, delta, rounds + 1) > epsilon(noise, delta, rounds)
    assert epsilon(2 * noise, delta, rounds) < epsilon(noise, delta, rounds)


def test_every_round_tells_its_epsilon_also_after_a_stop(config, tmp_path):
    pytest.importorskip("opacus")
    config = replace(config, clip=5.0, noise=8.0, rounds=3)
    begun = run_federation(tmp_path / "kept", config)
    first = [next(begun), next(begun)]
    begun.close()
    records = [*first, *run_federation(tmp_path / "kept")]
    assert [record.epsilon for record in records] == [
        None,
        *(epsilon(8.0, config.delta, rounds) for rounds in (1, 2, 3)),
    ]
    assert all(record.refused == {} for record in records)


def test_without_opacus_a_sentence_says_so(config, monkeypatch):
    monkeypatch.setattr("mocoop.federated.privacy.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"Opacus is not installed.*mocoop\[private\]"):
        Federation(replace(config, clip=1.0, noise=1.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": 1.0}, "noise needs clip"),
        ({"clip": 1.0, "strategy": "local"}, "nothing leaves a client"),
        ({"clip": 1.0, "noise": 1.0, "strategy": "mocoop-local"}, "nothing leaves a client"),
        ({"clip": -1.0}, "clip must be a number"),
        ({"clip": 1.0, "noise": float("inf")}, "noise must be a number"),
        ({"delta": 0.0}, "delta must be between 0 and 1"),
    ],
)
def test_settings_of_privacy_are_checked(changes, message):
    with pytest.raises(UserError, match=message):
        FederatedConfig(**{"strategy": "mocoop", **changes})
