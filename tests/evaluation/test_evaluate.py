"""Measures of classified images from their routing."""

from __future__ import annotations

import torch

from mocoop.classifiers.base import Routed
from mocoop.datasets.base import Item
from mocoop.evaluation.evaluate import RoutedItems, evaluate
from mocoop.model.router import top_weights


def test_a_weight_that_is_too_small_for_its_format_still_counts_as_chosen():
    """The second expert of the first image has the weight exp(-200), which is 0 in fp32."""
    scores = torch.tensor([[200.0, 0.0, -1.0], [1.0, 0.5, 0.0]])
    guide = torch.tensor([[1.0, 0.0, 0.5], [1.0, 0.5, 0.0]])
    weights = top_weights(scores, 2)
    assert (weights > 0).sum(dim=1).tolist() == [1, 2]
    each = torch.full((2, 3, 2), 0.5)
    routed = Routed(("cat", "dog"), ("a", "b", "c"), scores, weights, each, each[:, 0])
    items = tuple(Item(str(number), 0) for number in range(2))
    agreement = evaluate(RoutedItems(items, torch.tensor([0, 0]), routed, guide), "all").agreement
    # Of two chosen experts the first image has one in common with the guide, the second both.
    assert 75.0 in agreement.values()
    assert 100.0 * 2 / 3 in agreement.values()


def test_classes_of_the_same_name_are_two_classes():
    """ImageNet has two cranes: the accuracy of each is told, not one of both together."""
    each = torch.eye(3)[[0, 0, 1, 2]]
    scores = torch.zeros(4, 1)
    routed = Routed(
        ("crane", "owl", "crane"), ("prompt",), scores, scores + 1, each[:, None], each
    )
    items = tuple(Item(str(number), 0) for number in range(4))
    found = evaluate(RoutedItems(items, torch.tensor([0, 2, 1, 2]), routed), "all")
    assert found.per_class == {"crane": 100.0, "crane (2)": 50.0, "owl": 100.0}
    assert found.per_class.keys() == found.confusion.keys()
