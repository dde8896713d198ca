"""A small hand-made routing, for the tests of tables and figures."""

from __future__ import annotations

import torch

from mocoop.analysis.projection import MapSettings, project
from mocoop.classifiers.base import Routed
from mocoop.datasets.base import Item
from mocoop.evaluation.evaluate import RoutedItems
from mocoop.runs.features import SavedFeatures

EXPERTS, CLASSES = ("photo", "sketch", "dark"), ("cat", "dog")


def routed_items():
    """Returns four images of two styles, three experts of which two are chosen.

    Predictions: cat 0.9 (right), dog 0.6 (wrong), dog 0.8 (right), cat 0.7 (wrong).
    """
    scores = torch.tensor([[2.0, 1, 0], [0, 2, 1], [0, 1, 2], [1.0, 0.9, 0]])
    best, chosen = scores.topk(2, dim=-1)
    weights = torch.zeros_like(scores).scatter(-1, chosen, best.softmax(dim=-1))
    cat = torch.tensor([0.9, 0.4, 0.2, 0.7])
    alone = torch.tensor([[0.9, 0.8, 0.1], [0.3, 0.4, 0.9], [0.1, 0.2, 0.3], [0.6, 0.7, 0.2]])
    routed = Routed(
        CLASSES,
        EXPERTS,
        scores,
        weights,
        torch.stack([alone, 1 - alone], dim=-1),
        torch.stack([cat, 1 - cat], dim=-1),
    )
    items = (
        Item("a", 0, "photo"),
        Item("b", 0, "sketch"),
        Item("c", 1, "sketch"),
        Item("d", 1, "photo"),
    )
    return RoutedItems(items, torch.tensor([0, 0, 1, 1]), routed)


GROUPS = {"photo": ("a photo of a {}.", "{} photo"), "sketch": ("a sketch of a {}.",)}


def small_map():
    """A 3-D map of two groups with two and one templates, two classes, epochs 0 and 4."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.nn.functional.normalize(
        torch.randn(*shape, 6, generator=generator), dim=-1
    )
    features = SavedFeatures({0: draw(2, 2), 4: draw(2, 2)}, (draw(2, 2), draw(1, 2)), draw(2, 2))
    return project(features, MapSettings("pca", 3))
