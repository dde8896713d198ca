"""Federations in processes of their own: started, stopped, continued; and what is refused."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from app.jobs import federations
from mocoop.errors import UserError
from mocoop.federated.settings import FederatedConfig
from mocoop.federated.store import DESCRIPTION
from mocoop.runs.status import CANCELLED, FINISHED
from tests.support.tiny_data import picture_folder, tiny_checkpoint


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(federations, "shipped_federations", lambda: tmp_path / "shipped")
    return FederatedConfig(
        data=picture_folder(tmp_path / "pictures"),
        backbone=tiny_checkpoint(tmp_path / "clip"),
        strategy="fedavg",
        clients=3,
        rounds=2,
        local_epochs=1,
        shots=3,
    )


def wait_for(path, true_of):
    end = time.monotonic() + 200
    while not true_of(federations.status_of(path)):
        assert time.monotonic() < end, federations.status_of(path)
        time.sleep(0.1)


@pytest.mark.long
def test_a_stopped_federation_goes_on_in_a_new_process(settings, tmp_path):
    settings = replace(settings, rounds=40)
    root = tmp_path / "runs/federated"
    path = root / federations.start_federation(settings)
    wait_for(path, lambda status: status.epoch >= 1)
    assert list(federations.active_federations()) == [path]
    federations.cancel_federation(path)
    assert federations.status_of(path).state == CANCELLED
    assert list(federations.stopped_federations()) == [path]
    before = federations.open_federation(path).records
    federations.go_on(path)
    wait_for(path, lambda status: not status.active)
    assert federations.status_of(path).state == FINISHED
    found = federations.open_federation(path)
    assert found.finished
    assert found.records[: len(before)] == before
    assert federations.start_federation(settings) == path.name  # finished: nothing happens
    assert federations.active_federations() == {}


@pytest.mark.parametrize("changes", [{"clients": 51}, {"rounds": 51}])
def test_the_app_starts_small_federations_alone(settings, changes):
    with pytest.raises(UserError, match=r"at most 50 clients and 50 rounds\. Use the command"):
        federations.start_federation(replace(settings, **changes))


def test_a_read_only_server_starts_none(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("MOCOOP_READ_ONLY", "1")
    for act in (
        lambda: federations.start_federation(settings),
        lambda: federations.cancel_federation(tmp_path),
        lambda: federations.go_on(tmp_path),
    ):
        with pytest.raises(UserError, match="read-only demo"):
            act()


def test_shipped_federations_are_listed_by_name(monkeypatch, tmp_path):
    """Else the page would open with the one whose files happened to be copied last."""
    monkeypatch.setattr(federations, "shipped_federations", lambda: tmp_path / "shipped")
    monkeypatch.setattr(federations, "federations", lambda: tmp_path / "own")
    for number, name in enumerate(("shipped/b", "shipped/a", "own/old", "own/new")):
        file = tmp_path / name / DESCRIPTION
        file.parent.mkdir(parents=True)
        file.write_text("{}")
        os.utime(file.parent, (number, number))
    assert list(federations.found_folders()) == ["new", "old", "a", "b"]
