"""Measures how much of a text tower's features depends on context and class name together.

A context that all classes share can change the predicted class only through this interaction.
The part that depends on the context alone moves all classes in the same way, and the part that
depends on the class name alone does not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from mocoop.clip.text_tower import TextTower
from mocoop.errors import UserError
from mocoop.model.hard_prompts import hard_features
from mocoop.templates import Groups


@dataclass(frozen=True)
class Shares:
    """Shares of the variance of text features, in percent; they sum to 100."""

    context: float
    """Share that depends on the template alone."""
    name: float
    """Share that depends on the class name alone."""
    interaction: float
    """The rest: the same context has a different effect on different classes."""


def interaction_shares(tower: TextTower, groups: Groups, class_names: Sequence[str]) -> Shares:
    """Returns the shares for the hard templates and the class names of a data set.

    Raises:
        UserError: for fewer than two templates or classes.
    """
    hard = hard_features(tower, groups, class_names)
    return shares_of([row for features in hard for row in features])


def shares_of(features: Sequence[Tensor]) -> Shares:
    """Returns the shares from a two-way analysis of variance without replication.

    Args:
        features: one tensor (classes, dim) for each template.

    Raises:
        UserError: for fewer than two templates or classes.
    """
    if len(features) < 2 or len(features[0]) < 2:
        raise UserError("Expected at least two templates and two classes to compare.")
    every = [part.double() for part in features]
    by_context = [part.mean(dim=0) for part in every]  # (dim,) each
    by_name = sum(every[1:], every[0]) / len(every)  # (classes, dim)
    mean = by_name.mean(dim=0)
    num_templates, num_classes = len(every), len(by_name)
    context = num_classes * sum(float((b - mean).square().sum()) for b in by_context)
    name = num_templates * float((by_name - mean).square().sum())
    interaction = sum(
        float((part - by_name - b + mean).square().sum())
        for part, b in zip(every, by_context, strict=True)
    )
    total = context + name + interaction
    return Shares(100 * context / total, 100 * name / total, 100 * interaction / total)
