"""Proposes groups of templates for a data set, chosen on its training images."""

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

SETS = ("imagenet", "scenes")  # template sets with candidate groups
SHOTS, SEED = 16, 1  # the few-shot images on which groups are chosen
LEAST_GAIN = 0.0005  # smallest gain of a group in nats; a smaller one would be shown as 0.000


@dataclass(frozen=True)
class Proposed:
    """Groups of templates that work well together on the images, the most useful first."""

    groups: Groups
    shares: dict[str, float]
    """Group → share of the images that it is chosen for, 0 to 1."""
    gains: dict[str, float]
    """Group → by how much it raised the mean log-likelihood of the true classes, in nats; 0 for
    the first group."""

    @property
    def enough(self) -> bool:
        """Whether there are enough groups for a mixture; if not, no second group helped."""
        return len(self.groups) > 1


def candidate_groups(dataset: Dataset) -> Groups:
    """Returns the candidate groups: the data set's own first, then those of the template sets.

    Templates that an earlier group has are left out, and so are groups without new templates.
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
    """Returns the groups of templates that together work best on the training images.

    The prototypes of every group classify the images. For each image, the group is chosen whose
    largest cosine exceeds the group's mean over all images most; this needs no label. Groups
    are added one by one: each time the group that raises the likelihood of the true classes
    most, until no group raises it by at least `LEAST_GAIN`. Only few-shot training images are
    used, never test images.

    Args:
        backbone: the frozen CLIP.
        dataset: a data set with training images.
        cache: image features of the backbone.
        count: largest number of groups; a single group is returned if no second one helps.
        candidates: groups to choose from; by default `candidate_groups(dataset)`.

    Raises:
        UserError: if the data set has no training images, or `count` is below 1.
    """
    if count < 1:
        raise UserError(f"The number of groups must be at least 1; got {count}.")
    labels = [item.label for item in dataset.items("train")]
    if not labels:
        raise UserError(
            f"{dataset.name} has no training images, which are needed to choose groups. Add some."
        )
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
    fit = cosines.amax(dim=-1)  # (images, groups)
    fit = fit - fit.mean(dim=0)
    order, gains = _greedy(likelihood[rows, :, truth.cpu()], fit, count)
    names = list(pool)
    choice = fit[:, order].argmax(dim=1)
    shares = torch.bincount(choice, minlength=len(order)) / len(items)
    chosen_names = [names[index] for index in order]
    return Proposed(
        {name: pool[name] for name in chosen_names},
        dict(zip(chosen_names, shares.tolist(), strict=True)),
        dict(zip(chosen_names, gains, strict=True)),
    )


def _greedy(scores: Tensor, fit: Tensor, count: int) -> tuple[list[int], list[float]]:
    """Returns the groups in the order in which they raise the mean score most, and their gains.

    Args:
        scores: (images, groups), the log-likelihood of the true class.
        fit: (images, groups); for each image, the group with the largest value is chosen.
        count: largest number of groups.
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
            choice = fit[:, tried].argmax(dim=1)
            means.append(float(scores[:, tried][rows, choice].mean()))
        mean = max(means)
        if order and mean - best < LEAST_GAIN:
            break
        order.append(left[means.index(mean)])
        gains.append(mean - best if gains else 0.0)
        best = mean
    return order, gains


def _plain(template: str) -> str:
    """Returns a template in lower case without a final full stop, for comparison."""
    return template.lower().rstrip(".").strip()


def _with_article(template: str) -> str:
    """Returns a template with the article "an" where needed; CLIP's list has "a origami"."""
    return re.sub(r"\b([Aa])(?= [aeio])", r"\1n", template)
