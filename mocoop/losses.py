"""The three losses of MoCoOp as pure functions; the trainer names and sums them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns the mean cross-entropy of the mixed logits (batch, classes), a scalar."""
    return F.cross_entropy(logits, labels)


def text_supervision_loss(soft: Tensor, prototypes: Tensor, scale: float | Tensor) -> Tensor:
    """Returns how badly soft features tell their own class among their group's prototypes.

    For each expert and class, the cross-entropy over classes of
    `scale * <soft[g, c], prototype[g, .]>` with target c; the mean, a scalar.

    Args:
        soft: (experts, classes, dim), L2-normalised.
        prototypes: (experts, classes, dim), L2-normalised.
        scale: inverse temperature; 1 in the authors' code.
    """
    logits = scale * soft @ prototypes.transpose(1, 2)  # (experts, classes, classes)
    target = torch.arange(soft.shape[1], device=soft.device).expand(soft.shape[:2])
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


def gating_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Returns the mean cross-entropy between router and hard-prompt guide, a scalar.

    Args:
        scores: the router's scores, (batch, experts).
        target: a distribution per image, (batch, experts), already detached.
    """
    return F.cross_entropy(scores, target)
