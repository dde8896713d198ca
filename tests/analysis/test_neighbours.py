"""Nearest training images: the true cosine, found by a loop as well."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mocoop.analysis.neighbours import nearest
from mocoop.datasets.base import Item


def test_nearest_equals_a_loop(generator):
    features = F.normalize(torch.randn(9, 16, generator=generator), dim=-1)
    query = F.normalize(torch.randn(16, generator=generator), dim=-1)
    items = [Item(str(number), 0, None) for number in range(9)]
    found = nearest(query, features, items, 4)
    slow = [
        sum(a * b for a, b in zip(row, query.tolist(), strict=True)) for row in features.tolist()
    ]
    order = sorted(range(9), key=lambda index: -slow[index])[:4]
    assert [near.item.id for near in found] == [str(index) for index in order]
    assert [near.cosine for near in found] == pytest.approx([slow[index] for index in order])


def test_an_image_is_its_own_nearest_and_few_are_enough():
    features = F.normalize(torch.eye(3), dim=-1)
    items = [Item(name, 0, None) for name in "abc"]
    found = nearest(features[1], features, items, 10)
    assert found[0].item.id == "b"
    assert found[0].cosine == pytest.approx(1)
    assert len(found) == 3
