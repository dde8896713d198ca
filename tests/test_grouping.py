"""Proposed groups: chosen as plain loops would, on training images alone."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.features import FeatureCache
from mocoop.grouping import _greedy, candidate_groups, propose_groups


def plain_mean(scores, standing_out, groups):
    """Returns the mean score when every image takes the group that stands out most for it."""
    total = 0.0
    for image in range(len(scores)):
        taken = max(groups, key=lambda group: standing_out[image, group].item())
        total += scores[image, taken].item()
    return total / len(scores)


@pytest.mark.parametrize("seed", range(4))
def test_greedy_equals_plain_loops(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = -torch.rand(40, 7, generator=generator)
    standing_out = torch.randn(40, 7, generator=generator)
    order, gains = _greedy(scores, standing_out, 5)
    chosen: list[int] = []
    best = 0.0
    while len(chosen) < 5:
        means = {
            group: plain_mean(scores, standing_out, [*chosen, group])
            for group in range(7)
            if group not in chosen
        }
        group = max(means, key=lambda g: means[g])
        if len(chosen) >= 2 and means[group] <= best:
            break
        chosen.append(group)
        best = means[group]
    assert order == chosen
    assert sum(gains[1:]) == pytest.approx(
        best - plain_mean(scores, standing_out, order[:1]), abs=1e-6
    )


def test_kinds_of_images_get_a_group_each():
    """Two kinds of images, a group that suits each, and one that suits neither well."""
    kind = torch.tensor([0, 1] * 10)
    suits = torch.nn.functional.one_hot(kind, 2).float()
    scores = torch.cat([suits - 1.0, torch.full((20, 1), -0.6)], dim=1)
    standing_out = torch.cat([suits, torch.full((20, 1), 0.5)], dim=1)
    order, gains = _greedy(scores, standing_out, 3)
    assert sorted(order) == [0, 1]
    assert gains == [0.0, pytest.approx(0.5)]


def test_proposed_groups(demo_backbone, tmp_path):
    """They are the same every time, and each one after the second helps."""
    data, cache = load_dataset("games"), FeatureCache(demo_backbone, tmp_path)
    found = propose_groups(demo_backbone, data, cache, count=5)
    assert 2 <= len(found.groups) <= 5
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert all(gain > 0 for gain in list(found.gains.values())[2:])
    assert propose_groups(demo_backbone, data, cache, count=5) == found
    assert len(propose_groups(demo_backbone, data, cache, count=2).groups) == 2


def test_nothing_is_chosen_on_test_images(demo_backbone, tmp_path):
    data, cache = load_dataset("digits"), FeatureCache(demo_backbone, tmp_path)
    found = propose_groups(demo_backbone, data, cache, count=3)
    shuffled = list(data.items("test"))
    random.Random(0).shuffle(shuffled)
    other = replace(data, splits={**data.splits, "val": (), "test": tuple(shuffled[:5])})
    assert propose_groups(demo_backbone, other, cache, count=3) == found


def test_what_cannot_be_proposed(demo_backbone, tmp_path):
    data, cache = load_dataset("digits"), FeatureCache(demo_backbone, tmp_path)
    with pytest.raises(UserError, match="At least one group is proposed; got 0"):
        propose_groups(demo_backbone, data, cache, count=0)
    empty = replace(data, splits={**data.splits, "train": ()})
    with pytest.raises(UserError, match="digits has no training images, which the groups"):
        propose_groups(demo_backbone, empty, cache)


def test_candidates_do_not_repeat_templates():
    data = load_dataset("games")
    groups = candidate_groups(data)
    every = [t.lower().rstrip(".") for ts in groups.values() for t in ts]
    assert len(every) == len(set(every))
    assert list(groups)[: len(data.templates.groups)] == list(data.templates.groups)
    assert "origami" in groups
