"""`deterministic`: the flags during a training, the flags after it, and its error in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mocoop.clip.device import deterministic
from mocoop.errors import UserError
from mocoop.presets import differences, preset
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment

SLOW = ("mocoop-ln", "cocoop")


def flags():
    cudnn = torch.backends.cudnn
    return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark


def test_flags_are_set_inside_and_restored_after_it(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = flags()
    with deterministic(True):
        assert flags() == (True, True, False)
    assert flags() == before
    with pytest.raises(ZeroDivisionError), deterministic(True):
        raise ZeroDivisionError
    assert flags() == before
    with deterministic(False):
        assert flags() == before


def test_an_operation_without_such_a_form_is_told():
    message = r"no deterministic form on this device: histc_cuda does not.*\. Train without"
    with pytest.raises(UserError, match=message), deterministic(True):
        raise RuntimeError(
            "histc_cuda does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for "
            "this operation."
        )
    with pytest.raises(RuntimeError, match="another reason"), deterministic(True):
        raise RuntimeError("another reason")


@pytest.mark.parametrize(
    "method", ["mocoop", *(pytest.param(key, marks=pytest.mark.long) for key in SLOW)]
)
def test_a_training_with_it_is_the_same_on_a_cpu(tmp_path, workspace, method):
    config = replace(preset(method), data="details", shots=1, epochs=1, classes="base")
    runs = []
    for asked in (False, True):
        path = tmp_path / f"{method}-{asked}"
        chosen = replace(config, deterministic=asked)
        for _ in run_experiment(chosen, path):
            assert flags()[0] == asked
        assert not flags()[0]
        runs.append(Run(path))
    one, other = (run.weights() for run in runs)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert runs[1].setup().config.deterministic
    assert differences(runs[1].setup().config) == {"epochs": 1}
