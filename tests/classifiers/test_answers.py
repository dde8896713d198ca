"""The answer for one picture as plain values."""

from __future__ import annotations

import torch

from mocoop.classifiers.answers import answer_of
from mocoop.classifiers.base import Routed


def test_classes_of_the_same_name_are_told_apart():
    """As on ImageNet, where two classes are called crane: a bird and a machine."""
    probabilities = torch.tensor([[0.6, 0.3, 0.1]])
    names, one = ("crane", "owl", "crane"), torch.ones(1, 1)
    answer = answer_of(
        Routed(names, ("prompt",), one, one, probabilities[:, None], probabilities), 0
    )
    assert answer["label"] == "crane (0)"
    assert list(answer["probabilities"]) == ["crane (0)", "owl", "crane (2)"]
    assert [round(value, 3) for value in answer["probabilities"].values()] == [0.6, 0.3, 0.1]
