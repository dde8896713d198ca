"""Batches of pictures: in order, with or without worker processes; failures are reported."""

from __future__ import annotations

import threading

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import to_tensor

from mocoop.errors import UserError
from mocoop.features.decoding import FEW, batches, usual_workers

BAD = (3, 8, 9)


def load(place):
    """Returns a picture whose red says its place; some cannot be read."""
    if place in BAD:
        raise UserError(f"{place}.png: damaged")
    return Image.new("RGB", (4, 4), (place, 0, 0))


@pytest.mark.parametrize("workers", [0, 2])
def test_order_and_failures(workers):
    found = list(batches(load, to_tensor, 11, batch_size=4, workers=workers))
    assert [batch.indices for batch in found] == [[0, 1, 2], [4, 5, 6, 7], [10]]
    for batch in found:
        reds = (batch.images[:, 0, 0, 0] * 255).round().int().tolist()
        assert reds == batch.indices
    unreadable = {index: why for batch in found for index, why in batch.unreadable.items()}
    assert unreadable == {index: f"{index}.png: damaged" for index in BAD}


def test_a_batch_without_any_readable_picture():
    (batch,) = batches(lambda place: load(3), to_tensor, 2, batch_size=4)
    assert (batch.indices, len(batch.images), len(batch.unreadable)) == ([], 0, 2)


def test_a_bug_is_raised_and_not_reported_as_unreadable():
    def broken(place):
        raise KeyError(place)

    with pytest.raises(KeyError):
        list(batches(broken, to_tensor, 2, batch_size=2))


def test_stopping_early_ends_the_workers():
    found = batches(load, to_tensor, 400, batch_size=4, workers=2)
    next(found)
    found.close()
    assert torch.multiprocessing.active_children() == []


def test_usual_workers():
    """None for few pictures, nor off the main thread, where a server must not be forked."""
    assert usual_workers(FEW - 1) == 0
    assert 1 <= usual_workers(10**6) <= 16
    seen = []
    thread = threading.Thread(target=lambda: seen.append(usual_workers(10**6)))
    thread.start()
    thread.join()
    assert seen == [0]
