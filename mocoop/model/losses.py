"""The losses as pure functions of one tensor out; the trainer names and sums them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns the mean cross-entropy of the mixed logits (batch, classes), a scalar."""
    return F.cross_entropy(logits, labels)


def text_supervision_loss(
    soft: Tensor, targets: Tensor, scale: float | Tensor, owner: Tensor | None = None
) -> Tensor:
    """Returns how badly soft features tell their own class among hard ones.

    For each target t of expert g and each class, the cross-entropy over classes of
    `scale * <soft[g, c], target[t, .]>` with label c; the mean over targets and classes, a
    scalar. The mixture has one target per expert, its group's prototype; LASP has one expert
    and every hard template as a target.

    Args:
        soft: (experts, classes, dim), L2-normalised.
        targets: (targets, classes, dim), L2-normalised.
        scale: inverse temperature; 1 in the authors' code.
        owner: each target's expert, (targets,); None where there is one target per expert.
    """
    own = soft if owner is None else soft[owner]  # (targets, classes, dim)
    logits = scale * own @ targets.transpose(1, 2)  # (targets, classes, classes)
    label = torch.arange(own.shape[1], device=own.device).expand(own.shape[:2])
    return F.cross_entropy(logits.flatten(0, 1), label.flatten())


def anchor_loss(soft: Tensor, anchors: Tensor) -> Tensor:
    """Returns the mean squared distance of soft features from hard ones, a scalar.

    KgCoOp (Yao et al., CVPR 2023, arXiv 2303.13283): `mean_c |soft[c] - hard[c]|^2`.

    Args:
        soft: (experts, classes, dim), L2-normalised.
        anchors: the same of each expert's first template.
    """
    return (soft - anchors).square().sum(dim=-1).mean()


def gating_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Returns the mean cross-entropy between router and hard-prompt guide, a scalar.

    Args:
        scores: the router's scores, (batch, experts).
        target: a distribution per image, (batch, experts), already detached.
    """
    return F.cross_entropy(scores, target)


def general_loss(logits: Tensor, general_logits: Tensor) -> Tensor:
    """Returns the mean divergence KL(general || learnt) of two predictions, a scalar.

    ProGrad (Zhu et al., ICCV 2023, arXiv 2205.14865): its gradient is the direction that keeps
    what the untrained prompt knows.

    Args:
        logits: (batch, classes), of the learnt prompts.
        general_logits: the same of the untrained prompt; no gradient flows to it.
    """
    general = general_logits.detach().log_softmax(dim=-1)
    learnt = logits.log_softmax(dim=-1)
    return F.kl_div(learnt, general, reduction="batchmean", log_target=True)
