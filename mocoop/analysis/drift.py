"""Measures how far learned prompts moved away from the hard prompts they started from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.clip.text_tower import TextTower
from mocoop.runs.features import SavedFeatures


@dataclass(frozen=True)
class Drift:
    """The drift of one expert after one epoch, averaged over classes."""

    expert: int
    epoch: int
    own_cosine: float
    """Cosine between the soft features and the prototypes of the expert's own group; 1 means
    no drift."""
    own_nearest: float
    """Share of classes for which the prototype of the expert's own group is nearer than those
    of the other groups, 0 to 1."""
    outside_span: float
    """Share of the soft features' squared length that is outside the span of the hard features
    of the same class, 0 to 1."""


@dataclass(frozen=True)
class NearWord:
    """A word of the vocabulary near a learned token."""

    word: str
    cosine: float


def drift_table(features: SavedFeatures, labels: Sequence[int] | None = None) -> list[Drift]:
    """Returns the drift after every saved epoch, for every expert.

    Args:
        features: the text features of a run.
        labels: the classes to average over; by default all.
    """
    chosen = list(range(features.prototypes.shape[1])) if labels is None else list(labels)
    prototypes = features.prototypes[:, chosen]  # (experts, classes, dim)
    hard = torch.cat([part[:, chosen] for part in features.hard])  # (templates, classes, dim)
    rows = []
    for epoch, saved in features.soft.items():
        soft = saved[:, chosen]
        own = (soft * prototypes).sum(dim=-1).mean(dim=1)  # (experts,)
        nearest = nearest_groups(soft, prototypes).diagonal()  # (experts,)
        outside = share_outside_span(soft, hard).mean(dim=1)
        columns = zip(own.tolist(), nearest.tolist(), outside.tolist(), strict=True)
        rows += [Drift(expert, epoch, *values) for expert, values in enumerate(columns)]
    return rows


def nearest_groups(soft: Tensor, prototypes: Tensor) -> Tensor:
    """Returns for each expert the share of classes whose nearest group of hard prompts is each.

    Args:
        soft: (experts, classes, dim), L2-normalised.
        prototypes: (groups, classes, dim), L2-normalised; expert i started from group i.

    Returns:
        (experts, groups), 0 to 1; a row sums to 1, and the diagonal is `Drift.own_nearest`.
    """
    nearest = torch.einsum("ecd,gcd->ecg", soft, prototypes).argmax(dim=-1)  # (experts, classes)
    return F.one_hot(nearest, len(prototypes)).double().mean(dim=1)


def share_outside_span(soft: Tensor, hard: Tensor) -> Tensor:
    """Returns the share of each soft feature outside the span of its class's hard features.

    Args:
        soft: (experts, classes, dim).
        hard: (templates, classes, dim), the templates of all groups.

    Returns:
        (experts, classes), squared length of the residual over squared length, 0 to 1.
    """
    basis = hard.double().transpose(0, 1)  # (classes, templates, dim)
    _, sizes, axes = torch.linalg.svd(basis, full_matrices=False)
    # Templates may repeat each other, so directions with a singular value of about 0 are dropped.
    tolerance = sizes[:, :1] * max(basis.shape[1:]) * torch.finfo(torch.float32).eps
    axes = axes * (sizes > tolerance)[..., None]  # (classes, rank, dim)
    inside = torch.einsum("gcd,crd->gcr", soft.double(), axes).square().sum(dim=-1)
    return (1 - inside / soft.double().square().sum(dim=-1)).clamp(0, 1).float()


@torch.no_grad()
def nearest_words(
    weights: Mapping[str, Tensor], tower: TextTower, count: int = 3
) -> list[list[list[NearWord]]]:
    """Returns the nearest vocabulary words of every learned token before the name.

    Args:
        weights: a run's weights, with `prompts.before.N` of shape (tokens, width).
        tower: the text tower of the run's backbone.
        count: number of words per token.

    Returns:
        For each expert, for each token, `count` words, nearest first.
    """
    table = F.normalize(tower.tokens.embedding.weight.float().cpu(), dim=-1)
    names = [name for name in weights if name.startswith("prompts.before.")]
    words = []
    for name in sorted(names, key=lambda name: int(name.rsplit(".", 1)[1])):
        cosines, tokens = (F.normalize(weights[name].float(), dim=-1) @ table.T).topk(count)
        pairs = zip(cosines.tolist(), tokens.tolist(), strict=True)
        words.append(
            [
                [
                    NearWord(tower.tokens.tokenizer.decode([token]).strip(), cosine)
                    for cosine, token in zip(near, ids, strict=True)
                ]
                for near, ids in pairs
            ]
        )
    return words
