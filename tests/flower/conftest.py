"""What the tests of federations on Flower share."""

from __future__ import annotations

import pytest

from mocoop.federated.settings import FederatedConfig
from tests.support.tiny_data import picture_folder, tiny_checkpoint


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A federation of three clients on a few small pictures."""
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
