"""Shares of context, name and both together in text features."""

from __future__ import annotations

import pytest
import torch

from mocoop.analysis.interaction import interaction_shares, shares_of
from mocoop.datasets import load_dataset
from mocoop.errors import UserError


def test_sums_of_parts_have_no_interaction():
    contexts, names = torch.randn(5, 1, 8), torch.randn(1, 7, 8)
    found = shares_of(list(contexts + names))
    assert found.interaction == pytest.approx(0, abs=1e-10)
    assert found.context + found.name == pytest.approx(100)


def test_by_hand():
    """Two templates, two classes, one dimension: grand mean 0, effects 1 (name), 2, and 3."""
    name, context, both = 1.0, 2.0, 3.0
    rows = [
        torch.tensor([[name + context + both], [-name + context - both]]),
        torch.tensor([[name - context - both], [-name - context + both]]),
    ]
    found = shares_of(rows)
    assert (found.name, found.context, found.interaction) == pytest.approx(
        (100 / 14, 400 / 14, 900 / 14)
    )


def test_in_the_demo_clip_context_and_name_interact(demo_backbone):
    """Why a context can decide there which thing is meant."""
    data = load_dataset("details")
    found = interaction_shares(demo_backbone.text, data.templates.groups, data.class_names)
    assert found.context + found.name + found.interaction == pytest.approx(100)
    assert found.interaction > 15


def test_one_class_or_template_is_not_enough():
    with pytest.raises(UserError, match="at least two templates and two classes"):
        shares_of([torch.randn(3, 8)])
    with pytest.raises(UserError, match="at least two templates and two classes"):
        shares_of([torch.randn(1, 8), torch.randn(1, 8)])
