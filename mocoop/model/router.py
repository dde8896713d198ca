"""The router: the experts of an image, their weights, and the router's training target."""

from __future__ import annotations

import torch
from torch import Tensor

from mocoop.clip.tuned_tower import routed_features

GUIDE_BONUS = 10.0  # added to the K largest guide scores before the softmax


def top_weights(scores: Tensor, num_chosen: int) -> Tensor:
    """Returns the mixture weights: softmax over the K largest scores, zero elsewhere.

    Args:
        scores: the router's scores, (batch, experts).
        num_chosen: K, from 1 to the number of experts.

    Returns:
        (batch, experts); each row sums to 1 and has K non-zero entries.
    """
    best, chosen = scores.topk(num_chosen, dim=-1)  # (batch, K)
    return torch.zeros_like(scores).scatter(-1, chosen, best.softmax(dim=-1))


def guide_scores(image_features: Tensor, prototypes: Tensor, labels: Tensor) -> Tensor:
    """Returns the similarity of each image to each expert's hard prompts of its true class.

    `<f, prototype[g, y]>`, (batch, experts): the router learns from these scores.

    Args:
        image_features: (batch, dim), L2-normalised; the last dim numbers of longer ones, which
            are the frozen tower's feature.
        prototypes: (experts, classes, dim), L2-normalised.
        labels: true classes, (batch,).
    """
    image_features = routed_features(image_features, prototypes.shape[-1])
    return torch.stack(
        [(image_features * prototype[labels]).sum(dim=-1) for prototype in prototypes], dim=1
    )


@torch.no_grad()
def guide_target(scores: Tensor, num_chosen: int, scale: float | None = None) -> Tensor:
    """Returns the distribution over experts that the router should learn, (batch, experts).

    `softmax_g(r_g + 10 * [g among the K largest])`, or `softmax_g(scale * r_g)`.

    Args:
        scores: r, (batch, experts), from `guide_scores`.
        num_chosen: K.
        scale: inverse temperature; with None, 10 is added to the K largest scores (the paper).
    """
    if scale is not None:
        return (scale * scores).softmax(dim=-1)
    best = scores.topk(num_chosen, dim=-1).indices
    return (scores + torch.zeros_like(scores).scatter(-1, best, GUIDE_BONUS)).softmax(dim=-1)


def routing_entropy(scores: Tensor) -> Tensor:
    """Returns the entropy of softmax(scores) of each image in nats, (batch,)."""
    logs = scores.log_softmax(dim=-1)
    return -(logs.exp() * logs).sum(dim=-1)
