"""The experts' logits for a batch of images, weighted by the router and summed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mocoop.clip.late_tokens import expert_features
from mocoop.clip.tuned_tower import routed_features, seen_features
from mocoop.model.router import top_weights


@dataclass(frozen=True)
class Mixture:
    """The model's output for a batch of images."""

    scores: Tensor  # (batch, experts), the router's scores; zeros with one expert
    weights: Tensor  # (batch, experts), zero for experts that are not chosen
    expert_logits: Tensor
    """(batch, experts, classes), scaled by the logit scale. With a conditional context an expert
    that is not chosen answers by the context that no image has changed; 0 while training."""
    logits: Tensor  # (batch, classes), the weighted sum over experts


def mix(
    image_features: Tensor,
    soft: Tensor,
    gate: nn.Linear | None,
    logit_scale: float,
    num_chosen: int,
) -> Mixture:
    """Returns the weighted logits of the experts that the gate chooses for each image.

    `s * sum_k a_k <f, soft[g_k, c]>` is linear in the text features. So the experts' logits are
    weighted, and the mixed text feature is neither computed nor normalised again. The gate sees
    the frozen tower's feature where that follows the tuned one: `routed_features`. Each expert
    is compared with its own image feature where there are several: `expert_features`.
    """
    dim = soft.shape[-1]
    if image_features.shape[-1] > 2 * dim:  # every expert has a feature of its own
        own = expert_features(image_features, dim, len(soft))
        expert_logits = logit_scale * torch.einsum("bgd,gcd->bgc", own, soft)
    else:
        seen = seen_features(image_features, dim)
        expert_logits = logit_scale * torch.einsum("bd,gcd->bgc", seen, soft)
    if gate is None:
        scores = image_features.new_zeros(len(image_features), len(soft))
    else:
        scores = gate(routed_features(image_features, dim))
    weights = top_weights(scores, num_chosen)
    logits = torch.einsum("bg,bgc->bc", weights, expert_logits)
    return Mixture(scores, weights, expert_logits, logits)
