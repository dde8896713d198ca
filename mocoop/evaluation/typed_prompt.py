"""What one sentence, or an edited group of sentences, does: checks, scores and routing targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mocoop.clip.tuned_tower import routed_features
from mocoop.datasets.base import Item
from mocoop.datasets.builtin import SceneItem
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import RoutedItems
from mocoop.model.mixed_logits import mix
from mocoop.model.router import guide_scores
from mocoop.templates import SLOT, check_template

EXAMPLE = "a photo of a small {}."
SHOWN = 60  # characters of a long sentence that a message repeats


@dataclass(frozen=True)
class PartScore:
    """Accuracy on a part of the test images."""

    kind: str
    """What the part is of: all, style or role."""
    name: str
    """The style or the role; empty for all images."""
    images: int
    accuracy: float
    """In percent."""


@dataclass(frozen=True)
class GroupEffect:
    """What the prototypes of the groups do before any training."""

    alone: float
    """Accuracy of one group's prototypes alone, in percent."""
    mixed: float
    """Accuracy of all groups' prototypes with a run's router, in percent."""
    target: tuple[float, ...]
    """Share of the images that the router's target sends to each group first, in percent."""


def typed_template(text: str) -> str:
    """Returns a typed sentence as a template: on one line, with single spaces, checked.

    Raises:
        UserError: for an empty sentence, for none or several `{}`, or for `{}` beside a letter.
    """
    template = " ".join(text.split())
    if not template:
        raise UserError(f"Type a sentence with {SLOT} for the class name, such as '{EXAMPLE}'")
    slots = template.count(SLOT)
    shown = template if len(template) <= SHOWN else f"{template[:SHOWN]}…"
    if slots == 0:
        filled = "{" in template or "}" in template
        more = "Leave nothing between the braces" if filled else f"Write {SLOT} where it goes"
        raise UserError(
            f"The sentence '{shown}' has no place for the class name. {more}, as in '{EXAMPLE}'"
        )
    if slots > 1:
        raise UserError(
            f"The sentence '{shown}' has {SLOT} {slots} times. Keep one: the class name is put in "
            f"once, as in '{EXAMPLE}'"
        )
    check_template(template)
    return template


def part_scores(tested: RoutedItems) -> list[PartScore]:
    """Returns the accuracy on all images, by style and by role, as far as they are known."""
    right = tested.routed.probabilities.argmax(dim=-1) == tested.labels
    scores = [_score("all", "", right)]
    for kind, names in known_parts(tested.items).items():
        for name in dict.fromkeys(names):
            rows = torch.tensor([own == name for own in names])
            scores.append(_score(kind, name, right[rows]))
    return scores


def known_parts(items: Sequence[Item]) -> dict[str, list[str]]:
    """Returns `style` and `role` → that of every item; a kind is left out unless it differs.

    Roles are known of the built-in sets only. Where each style has a role of its own, both kinds
    would be the same parts; then the style names its role.
    """
    values: dict[str, list[str | None]] = {
        "style": [item.style for item in items],
        "role": [item.role if isinstance(item, SceneItem) else None for item in items],
    }
    parts = {}
    for kind, of_items in values.items():
        known = [value for value in of_items if value]
        if len(known) == len(of_items) and len(set(known)) > 1:
            parts[kind] = known
    if len(parts) == len(values):
        pairs = list(zip(*parts.values(), strict=True))
        if all(len(set(names)) == len(set(pairs)) for names in parts.values()):
            return {"style": [f"{style} (role: {role})" for style, role in pairs]}
    return parts


def group_effect(
    image_features: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    expert: int,
    gate: torch.nn.Linear | None,
    logit_scale: float,
    num_chosen: int,
) -> GroupEffect:
    """Returns what the prototypes do on images: one group alone, all with a router, the target.

    Args:
        image_features: (images, dim), L2-normalised.
        labels: (images,), indices into the classes of the prototypes.
        prototypes: (experts, classes, dim), L2-normalised.
        expert: index of the group that is looked at.
        gate: the router; None with one expert.
        logit_scale: the CLIP's scale.
        num_chosen: K, the number of experts per image.
    """
    image_features = routed_features(image_features, prototypes.shape[-1])
    alone = (image_features @ prototypes[expert].T).argmax(dim=-1) == labels
    with torch.no_grad():
        mixed = mix(image_features, prototypes, gate, logit_scale, num_chosen).logits
    first = guide_scores(image_features, prototypes, labels).argmax(dim=-1)
    counts = first.bincount(minlength=len(prototypes)).double()
    return GroupEffect(
        100.0 * alone.double().mean().item(),
        100.0 * (mixed.argmax(dim=-1) == labels).double().mean().item(),
        tuple((100.0 * counts / len(labels)).tolist()),
    )


def _score(kind: str, name: str, right: Tensor) -> PartScore:
    return PartScore(kind, name, len(right), 100.0 * right.double().mean().item())
