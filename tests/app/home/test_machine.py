"""What Home says about the machine: torch is asked for a GPU only where a driver is installed."""

from __future__ import annotations

import torch

from app.home import machine, words


def test_a_gpu_is_named_where_a_driver_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert machine.describe_machine([], []).device.startswith("Some GPU, ")


def test_a_driver_without_a_gpu_for_torch_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert machine.describe_machine([], []).device.startswith(words.NO_GPU)


def test_without_a_driver_torch_is_not_asked(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: asked.append(1))
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    monkeypatch.setattr(machine, "DRIVERS", (str(tmp_path / "none"),))
    assert machine.describe_machine([], []).device.startswith(words.NO_GPU)
    assert not asked
    (tmp_path / "none").touch()
    machine.describe_machine([], [])
    assert asked
