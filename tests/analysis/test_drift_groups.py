"""The nearest group of hard prompts of every soft prompt, against a loop."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mocoop.analysis.drift import drift_table, nearest_groups
from mocoop.runs.features import SavedFeatures


def test_shares_of_the_nearest_groups_equal_a_loop():
    generator = torch.Generator().manual_seed(3)
    soft = F.normalize(torch.randn(4, 9, 5, generator=generator), dim=-1)
    prototypes = F.normalize(torch.randn(4, 9, 5, generator=generator), dim=-1)
    expected = torch.zeros(4, 4, dtype=torch.double)
    for expert in range(4):
        for label in range(9):
            cosines = [float(soft[expert, label] @ prototypes[g, label]) for g in range(4)]
            expected[expert, cosines.index(max(cosines))] += 1 / 9
    found = nearest_groups(soft, prototypes)
    torch.testing.assert_close(found, expected)
    features = SavedFeatures({0: soft}, (prototypes,), prototypes)
    own = [row.own_nearest for row in drift_table(features)]
    torch.testing.assert_close(torch.tensor(own), found.diagonal().float())


def test_before_training_every_expert_is_nearest_to_its_own_group():
    prototypes = F.normalize(torch.eye(3)[:, None].expand(3, 2, 3), dim=-1)
    torch.testing.assert_close(
        nearest_groups(prototypes, prototypes), torch.eye(3, dtype=torch.double)
    )
