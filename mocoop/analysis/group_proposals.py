"""Proposes groups of templates for a data set: those that its training images ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mocoop.clip.backbone import Backbone
from mocoop.datasets.base import Dataset
from mocoop.datasets.splits import few_shot
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache
from mocoop.model.hard_prompts import group_prototypes, hard_features
from mocoop.templates import Groups, load_templates

SETS = ("imagenet", "drawn")  # template sets that the candidates come from
SHOTS, SEED = 16, 1  # the images that are asked
LEAST_GAIN = 0.0005  # nats that a group must add: less would be shown as 0.000


@dataclass(frozen=True)
class Proposed:
    """Groups that together suit the images, the most useful first."""

    groups: Groups
    shares: dict[str, float]
    """Group → share of the images that take it, 0 to 1."""
    gains: dict[str, float]
    """Group → what it added to the mean log-likelihood of the true classes, in nats; 0 for the
    first."""

    @property
    def enough(self) -> bool:
        """Whether a mixture can be made of them; otherwise no second group helped."""
        return len(self.groups) > 1


def candidate_groups(dataset: Dataset) -> Groups:
    """Returns the groups to choose from: the set's own first, then those of other sets.

    A group that only repeats templates that are there already is left out.
    """
    groups: dict[str, tuple[str, ...]] = {}
    known: set[str] = set()
    for source in (dataset.templates.groups, *(load_templates(name).groups for name in SETS)):
        for name, templates in source.items():
            if source is not dataset.templates.groups:
                templates = tuple(map(_with_article, templates))
            new = tuple(t for t in templates if _plain(t) not in known)
            if new and name not in groups:
                groups[name] = new
                known |= {_plain(t) for t in new}
    return groups


def propose_groups(
    backbone: Backbone,
    dataset: Dataset,
    cache: FeatureCache,
    count: int = 6,
    candidates: Mapping[str, tuple[str, ...]] | None = None,
) -> Proposed:
    """Returns the groups of templates that suit a set's training images best together.

    Every group's prototypes classify the images, and an image takes the group under which its
    best class stands out most from what is usual for the group, which needs no label. Groups
    are added one by one, each time the one that raises the likelihood of the true classes
    most, until none does by `LEAST_GAIN`. Only few-shot training images are asked; nothing is
    chosen on test images.

    Args:
        backbone: the frozen CLIP.
        dataset: a set with training images.
        cache: image features of the backbone.
        count: how many groups at most; one alone comes back where no second one helps.
        candidates: groups to choose from; `candidate_groups(dataset)` if None.

    Raises:
        UserError: for a set without training images, or a count below 1.
    """
    if count < 1:
        raise UserError(f"At least one group is proposed; got {count}.")
    labels = [item.label for item in dataset.items("train")]
    if not labels:
        raise UserError(f"{dataset.name} has no training images, which the groups are chosen by.")
    chosen, _ = few_shot(labels, [], SHOTS, SEED)
    items = [dataset.items("train")[index] for index in chosen]
    features = cache.features(dataset, items)[:, 0].to(backbone.device)
    pool = dict(candidates or candidate_groups(dataset))
    hard = hard_features(backbone.text, pool, dataset.class_names)
    prototypes = group_prototypes(hard)  # (groups, classes, dim)
    truth = torch.tensor([item.label for item in items], device=backbone.device)
    cosines = torch.einsum("id,gcd->igc", features, prototypes).cpu()
    likelihood = (backbone.logit_scale * cosines).log_softmax(dim=-1)
    rows = torch.arange(len(items))
    standing_out = cosines.amax(dim=-1)  # (images, groups)
    standing_out = standing_out - standing_out.mean(dim=0)
    order, gains = _greedy(likelihood[rows, :, truth.cpu()], standing_out, count)
    names = list(pool)
    taken = standing_out[:, order].argmax(dim=1)
    shares = torch.bincount(taken, minlength=len(order)) / len(items)
    chosen_names = [names[index] for index in order]
    return Proposed(
        {name: pool[name] for name in chosen_names},
        dict(zip(chosen_names, shares.tolist(), strict=True)),
        dict(zip(chosen_names, gains, strict=True)),
    )


def _greedy(scores: Tensor, standing_out: Tensor, count: int) -> tuple[list[int], list[float]]:
    """Returns groups in the order in which they raise the mean score most, and by how much.

    Args:
        scores: (images, groups), the log-likelihood of the true class.
        standing_out: (images, groups), by which an image takes its group.
        count: how many groups at most.
    """
    rows = torch.arange(len(scores))
    order: list[int] = []
    gains: list[float] = []
    best = 0.0
    while len(order) < min(count, scores.shape[1]):
        left = [group for group in range(scores.shape[1]) if group not in order]
        means = []
        for group in left:
            tried = [*order, group]
            taken = standing_out[:, tried].argmax(dim=1)
            means.append(float(scores[:, tried][rows, taken].mean()))
        mean = max(means)
        if order and mean - best < LEAST_GAIN:
            break
        order.append(left[means.index(mean)])
        gains.append(mean - best if gains else 0.0)
        best = mean
    return order, gains


def _plain(template: str) -> str:
    """Returns a template without what makes no difference: case and the final stop."""
    return template.lower().rstrip(".").strip()


def _with_article(template: str) -> str:
    """Returns a template in good English: CLIP's own list says "a origami"."""
    return re.sub(r"\b([Aa])(?= [aeio])", r"\1n", template)
