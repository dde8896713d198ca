"""Rounds of small federations: what travels, what stays, who fails, and how they go on."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from mocoop.cli.main import main
from mocoop.errors import UserError
from mocoop.federated.federation import Federation, Rounds
from mocoop.federated.settings import FederatedConfig
from mocoop.federated.store import (
    DESCRIPTION,
    RECORDS,
    STATE,
    copy_to_look_at,
    read_description,
    read_records,
    run_federation,
)
from mocoop.federated.strategies import STRATEGIES
from mocoop.storage.atomic import read_tensors
from tests.support.tiny_data import picture_folder, tiny_checkpoint


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Three clients, each with one of three classes, on the tiny CLIP."""
    folder = tmp_path_factory.mktemp("federation")
    return FederatedConfig(
        data=picture_folder(folder / "pictures"),
        backbone=tiny_checkpoint(folder / "clip"),
        clients=3,
        rounds=2,
        local_epochs=1,
        shots=3,
        learning_rate=0.02,
    )


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))


def private(client):
    return {n: v.detach().clone() for n, v in client.model.named_parameters() if v.requires_grad}


@pytest.mark.parametrize("key", STRATEGIES)
def test_only_what_the_strategy_shares_travels(config, key):
    federation = Federation(replace(config, strategy=key))
    records = list(federation.run())
    assert [record.number for record in records] == [0, 1, 2]
    assert all(record.refused == {} for record in records)
    names = {name for name, value in federation.server.shared.items()}
    strategy = STRATEGIES[key]
    assert all(strategy.travels(name) for name in names)
    sizes = sum(value.numel() for value in federation.server.shared.values())
    assert records[1].floats_sent == 3 * sizes
    extra = 3 * 2 * sizes if strategy.foreign else 0  # the two others' prompts
    assert (records[1].floats_received, records[2].floats_received) == (
        3 * sizes,
        3 * sizes + extra,
    )
    first, second, _ = map(private, federation.clients)
    assert set(first) >= names
    for name in (name for name, value in first.items() if value.numel()):
        same = torch.equal(first[name], second[name])
        # After a round all clients hold the average, but pFedMoAP's keep their own prompt.
        assert same == (name in names and not strategy.foreign), name


def test_pfedmoap_uses_the_prompts_of_others_from_the_second_round(config):
    federation = Federation(replace(config, strategy="pfedmoap", foreign=1))
    records = list(federation.run())
    assert records[1].foreign == {}
    assert set(records[2].foreign) == {"client 1", "client 2", "client 3"}
    for name, taken in records[2].foreign.items():
        assert len(taken) == 1
        assert name not in taken
    model = federation.clients[0].model
    assert model.others.shape[:2] == (1, 3)
    assert not model.others.requires_grad


def gates(federation):
    """Returns each client's gate, flat."""
    models = [client.model for client in federation.clients]
    return [torch.cat([p.detach().flatten() for p in m.attention.parameters()]) for m in models]


def test_the_gate_learns_at_its_own_rate_once_it_is_used(config):
    """It rests in the first round; then it moves by its share of the prompt's rate."""
    moved = {}
    for rate in (0.0, 1e-4, 2e-4):
        federation = Federation(replace(config, strategy="pfedmoap", gate_rate=rate))
        start = gates(federation)
        rounds = federation.run()
        assert [next(rounds).number for _ in range(2)] == [0, 1]
        assert all(map(torch.equal, gates(federation), start))
        list(rounds)
        moved[rate] = [
            (a - b).norm().item() for a, b in zip(gates(federation), start, strict=True)
        ]
    assert moved[0.0] == [0.0, 0.0, 0.0]
    for once, twice in zip(moved[1e-4], moved[2e-4], strict=True):
        assert once > 0.0
        assert twice == pytest.approx(2 * once, rel=0.1)


def test_one_client_with_all_images_trains_as_alone(config):
    """A federation whose average has one member is the member's own training."""
    alone = Federation(replace(config, strategy="local"))
    shared = Federation(replace(config, strategy="fedavg", participation=0.34))
    list(alone.run())
    (record,) = [record for record in shared.run() if record.number == 1]
    (name,) = record.took_part
    index = int(name.split()[1]) - 1
    again = Federation(replace(config, strategy="local"))
    client = again.clients[index]
    client.train(1, {})
    sent = shared.server.pool[name]
    for key, value in client.model.named_parameters():
        if key in sent:
            assert torch.equal(sent[key], value), key


def test_a_lost_client_and_a_diverging_one_do_not_end_the_round(config, monkeypatch):
    federation = Federation(replace(config, strategy="fedavg"))
    with torch.no_grad():
        federation.clients[1].data.train.features.fill_(float("nan"))
    records = list(federation.run(lost=[(1, "client 3")]))
    assert set(records[1].refused) == {"client 2", "client 3"}
    assert records[1].refused["client 3"] == "it did not answer"
    assert "no longer a finite number" in records[1].refused["client 2"]
    assert set(records[2].refused) == {"client 2"}
    assert all(torch.isfinite(v).all() for v in federation.server.shared.values())
    assert set(records[2].accuracies) == {"client 1", "client 2", "client 3"}


def test_a_poisoned_client_is_left_out_and_said(config, monkeypatch):
    """One client sends parameters far away; the average is that of the others."""
    config = replace(config, strategy="fedavg", rounds=1, most_change=50.0)
    federation = Federation(config)
    poisoned = federation.clients[1]
    send = poisoned.travelling
    monkeypatch.setattr(
        poisoned, "travelling", lambda: {name: value + 1e4 for name, value in send().items()}
    )
    _, record = federation.run()
    assert list(record.refused) == ["client 2"]
    assert "is larger than the allowed 50" in record.refused["client 2"]
    assert set(federation.server.pool) == {"client 1", "client 3"}


def test_a_client_alone_with_its_class_is_tested_among_all_classes(config):
    federation = Federation(replace(config, strategy="mocoop", rounds=1))
    owned = [set(client.data.train_labels.tolist()) for client in federation.clients]
    assert sorted(label for labels in owned for label in labels) == [0, 1, 2]
    _, record = federation.run()
    assert record.refused == {}
    assert all(len(client.data.class_names) == 3 for client in federation.clients)


@pytest.mark.parametrize("key", ["pfedmoap", "mocoop"])
def test_a_stopped_federation_goes_on_to_the_same_bits(config, key, tmp_path):
    config = replace(config, strategy=key, rounds=3)
    whole = list(run_federation(tmp_path / "whole", config))
    begun = run_federation(tmp_path / "part", config)
    first = [next(begun), next(begun)]
    begun.close()
    rest = list(run_federation(tmp_path / "part"))

    def numbers(records):
        return [replace(record, seconds=0.0) for record in records]

    assert numbers([*first, *rest]) == numbers(whole) == numbers(read_records(tmp_path / "part"))
    ours, expected = ((tmp_path / name / STATE).read_bytes() for name in ("part", "whole"))
    cut = [data[int.from_bytes(data[:8], "little") + 8 :] for data in (ours, expected)]
    assert cut[0] == cut[1]  # all tensors; the header has the seconds


def test_one_process_at_a_time_trains_a_federation(config, tmp_path):
    begun = run_federation(tmp_path / "one", config)
    first = next(begun)
    with pytest.raises(UserError, match="is being trained already"):
        next(run_federation(tmp_path / "one", config))
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(list, run_federation(tmp_path / "one", config, wait=True))
        second = next(begun)
        assert not rest.done()
        begun.close()
    assert [first.number, second.number] == [0, 1]
    assert [record.number for record in rest.result()] == list(range(2, config.rounds + 1))
    assert not list(run_federation(tmp_path / "one", config))


def test_a_copy_to_look_at_has_the_records_and_cannot_go_on(config, tmp_path):
    config = replace(config, strategy="fedavg")
    records = list(run_federation(tmp_path / "whole", config))
    copy_to_look_at(tmp_path / "whole", tmp_path / "copy")
    assert read_records(tmp_path / "copy") == records
    assert read_description(tmp_path / "copy") == read_description(tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == [DESCRIPTION, RECORDS]
    with pytest.raises(UserError, match="without its parameters, so it cannot go on"):
        next(run_federation(tmp_path / "copy"))
    (tmp_path / "copy" / RECORDS).write_text('{"records": [{"number": 1}]}')
    with pytest.raises(UserError, match="is damaged"):
        read_records(tmp_path / "copy")


def test_the_command_writes_a_partition_and_continues(config, tmp_path, capsys):
    options = ["--data", config.data, "--backbone", config.backbone, "--clients", "3"]
    options += ["--rounds", "2", "--local-epochs", "1", "--shots", "3", "--strategy", "fedavg"]
    partition = str(tmp_path / "who.json")
    assert main(["federated", *options, "--save-partition", partition]) == 0
    assert "3 clients with 3 to 3 training images" in capsys.readouterr().out
    folder = ["--folder", str(tmp_path / "kept")]
    assert main(["federated", *options, "--partition", partition, *folder]) == 0
    printed = capsys.readouterr().out
    assert "round   2:" in printed
    assert "mean of the last 2 rounds:" in printed
    assert main(["federated", *folder, "--json"]) == 0
    assert [record["number"] for record in json.loads(capsys.readouterr().out)] == [0, 1, 2]
    assert main(["federated", *options, "--seed", "5", *folder]) == 2
    assert "holds a federation with other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--clients", "4"], "--clients 4 has no effect"),
        (["--data", "digits"], "--data digits has no effect"),
        (["--beta", "3"], "--beta 3.0 has no effect"),
        (["--answer-seconds", "5"], "--answer-seconds goes with --engine flower"),
        (["--engine", "flower", "--answer-seconds", "0"], "must be greater than 0"),
        (["--engine", "flower", "--certificate", "ca.pem"], "--certificate goes with --address"),
    ],
)
def test_options_that_have_no_effect_are_refused(config, tmp_path, capsys, options, message):
    partition = tmp_path / "who"  # a name without .json
    Federation(config).partition.save(partition)
    assert main(["federated", "--partition", str(partition), *options]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_clients_of_any_name_go_on(config, tmp_path):
    made = Federation(config).partition
    names = ("ward//3", "Städt. Klinik", "")
    shares = tuple(replace(c, name=n) for c, n in zip(made.clients, names, strict=True))
    config, named = replace(config, strategy="mocoop-local"), replace(made, clients=shares)
    whole = list(run_federation(tmp_path / "whole", config, named))
    begun = run_federation(tmp_path / "parts", config, named)
    first = [next(begun), next(begun)]
    begun.close()
    rest = list(run_federation(tmp_path / "parts"))
    seen = [replace(record, seconds=0.0) for record in (*first, *rest)]
    assert seen == [replace(record, seconds=0.0) for record in whole]
    one, other = (read_tensors(tmp_path / name / STATE) for name in ("whole", "parts"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_whole_numbers_are_settings_too(config, tmp_path):
    begun = run_federation(tmp_path / "kept", replace(config, beta=1, participation=1))
    next(begun)
    begun.close()
    assert [record.number for record in run_federation(tmp_path / "kept")] == [1, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "fedprox"}, "Unknown strategy 'fedprox'"),
        ({"partition": "iid"}, "Unknown partition 'iid'"),
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"participation": 0.0}, "participation must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number"),
        ({"most_change": 0.0}, "most_change must be greater than 0"),
        ({"beta": float("inf")}, "beta must be greater than 0"),
        ({"shots": 0}, "shots"),
    ],
)
def test_settings_are_checked(config, changes, message):
    with pytest.raises(UserError, match=message):
        replace(config, **changes)


@pytest.mark.parametrize(
    ("share", "clients", "count"), [(0.58, 50, 29), (0.29, 100, 29), (1.0, 7, 7), (0.01, 10, 1)]
)
def test_the_share_of_the_clients_is_exact(config, share, clients, count):
    names = tuple(f"client {number}" for number in range(clients))
    rounds = Rounds(replace(config, participation=share), None, SimpleNamespace(names=names))
    assert len(rounds._chosen(1)) == count
