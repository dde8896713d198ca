"""The server: the weighted mean of sound updates, and why others are refused."""

from __future__ import annotations

import pytest
import torch

from mocoop.federated.server import Server, Update


def state(*values):
    return {"prompt": torch.tensor(values)}


def test_updates_are_averaged_by_their_images():
    server = Server(state(0.0, 0.0), most_change=10.0)
    refused = server.receive([Update("a", 1, state(1.0, 0.0)), Update("b", 3, state(5.0, 4.0))])
    assert refused == {}
    torch.testing.assert_close(server.shared, state(4.0, 3.0))
    torch.testing.assert_close(server.pool, {"a": state(1.0, 0.0), "b": state(5.0, 4.0)})


@pytest.mark.parametrize(
    ("update", "why"),
    [
        (Update("bad", 1, state(float("nan"), 0.0)), "are not finite"),
        (Update("bad", 1, state(float("inf"), 0.0)), "are not finite"),
        (Update("bad", 1, state(0.0)), "other names, shapes or number types"),
        (Update("bad", 1, {}), "other names, shapes or number types"),
        (Update("bad", 1, {"other": torch.zeros(2)}), "other names, shapes or number types"),
        (Update("bad", 1, {"prompt": torch.zeros(2).double()}), "other names, shapes or number"),
        (Update("bad", 0, state(0.0, 0.0)), "has no images"),
        (Update("bad", 10**9, state(9.0, 9.0)), "is larger than the allowed 10"),
    ],
)
def test_a_bad_update_changes_nothing(update, why):
    server = Server(state(0.0, 0.0), most_change=10.0)
    refused = server.receive([update, Update("good", 2, state(1.0, 1.0))])
    assert list(refused) == ["bad"]
    assert why in refused["bad"]
    torch.testing.assert_close(server.shared, state(1.0, 1.0))
    assert list(server.pool) == ["good"]
    assert "bad" in server.receive([update])
    torch.testing.assert_close(server.shared, state(1.0, 1.0))


def test_the_nearest_prompts_are_those_of_others():
    server = Server(state(0.0, 0.0), most_change=100.0)
    at = {"a": 0.0, "b": 9.0, "c": 2.0, "d": -5.0}
    server.receive([Update(name, 1, state(place, 0.0)) for name, place in at.items()])
    near = server.nearest(["a", "b"], 2)
    assert near == {"a": ["c", "d"], "b": ["c", "a"]}
    assert server.nearest(["b"], 9) == {"b": ["c", "a", "d"]}


def test_the_noise_of_many_numbers_is_no_reason_to_refuse_them():
    shared = {"prompt": torch.zeros(10_000)}
    noisy = {"prompt": torch.randn(10_000, generator=torch.Generator().manual_seed(1))}  # 100 long
    without = Server(shared, 10.0).receive([Update("a", 1, noisy)])
    assert "larger than the allowed 10" in without["a"]
    assert Server(shared, 10.0, noise=1.0).receive([Update("a", 1, noisy)]) == {}
    far = {"prompt": noisy["prompt"] + 1.0}  # moved by 100 as well
    assert "larger" in Server(shared, 10.0, noise=1.0).receive([Update("a", 1, far)])["a"]
