"""Parameters as bytes: the same bits come back, and nothing else is read."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import torch

from mocoop.errors import UserError
from mocoop.federated import messages


def test_the_same_bits_come_back():
    state = {
        "prompts.before": torch.randn(3, 4, 8).transpose(0, 1),
        "correction": torch.zeros(0),
        "odd": torch.tensor([float("nan"), -0.0, 1e-42]),
    }
    back = messages.from_bytes(messages.to_bytes(state))
    assert set(back) == set(state)
    for name, value in state.items():
        assert back[name].numpy().tobytes() == value.contiguous().numpy().tobytes()
    assert messages.from_bytes(messages.to_bytes({})) == {}


def evil():
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was run",))

    whole = io.BytesIO()
    np.save(whole, np.array([Evil()], dtype=object), allow_pickle=True)
    torch_file = io.BytesIO()
    torch.save({"a": torch.ones(1)}, torch_file)
    return [pickle.dumps(Evil()), whole.getvalue(), torch_file.getvalue(), b"", b"\xff" * 64]


@pytest.mark.parametrize("number", range(5))
def test_pickles_and_other_bytes_are_refused(number):
    with pytest.raises(UserError, match="holds no parameters"):
        messages.from_bytes(evil()[number])


def test_a_huge_message_is_not_read(monkeypatch):
    monkeypatch.setattr(messages, "MOST_BYTES", 10)
    with pytest.raises(UserError, match="at most 10 are read"):
        messages.from_bytes(b"0" * 11)
