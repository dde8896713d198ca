"""The losses: pure functions that return one scalar; the training loop names and sums them."""

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
    """Returns the cross-entropy of classifying soft features by hard ones, a scalar.

    For each target t of expert g and each class c, it is the cross-entropy over classes of
    `scale * <soft[g, c], target[t, .]>` with label c; then the mean over targets and classes.
    The mixture has one target per expert, its group's prototype. LASP has one expert, and every
    hard template is a target.

    Args:
        soft: (experts, classes, dim), L2-normalised.
        targets: (targets, classes, dim), L2-normalised.
        scale: inverse temperature; 1 in the authors' code.
        owner: each target's expert, (targets,); None if there is one target per expert.
    """
    own = soft if owner is None else soft[owner]  # (targets, classes, dim)
    logits = scale * own @ targets.transpose(1, 2)  # (targets, classes, classes)
    label = torch.arange(own.shape[1], device=own.device).expand(own.shape[:2])
    return F.cross_entropy(logits.flatten(0, 1), label.flatten())


def anchor_loss(soft: Tensor, anchors: Tensor) -> Tensor:
    """Returns the mean squared distance between soft and hard features, a scalar.

    KgCoOp (Yao et al., CVPR 2023, arXiv 2303.13283): `mean_c |soft[c] - hard[c]|^2`.

    Args:
        soft: (experts, classes, dim), L2-normalised.
        anchors: features of each expert's first template, of the same shape.
    """
    return (soft - anchors).square().sum(dim=-1).mean()


def gating_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Returns the mean cross-entropy between the router and its target, a scalar.

    Args:
        scores: the router's scores, (batch, experts).
        target: the target distribution of each image, (batch, experts), detached.
    """
    return F.cross_entropy(scores, target)


def general_loss(logits: Tensor, general_logits: Tensor) -> Tensor:
    """Returns the mean divergence KL(general || learned) of two predictions, a scalar.

    ProGrad (Zhu et al., ICCV 2023, arXiv 2205.14865): its gradient is the direction that keeps
    the knowledge of the untrained prompt.

    Args:
        logits: logits of the learned prompts, (batch, classes).
        general_logits: logits of the untrained prompt, of the same shape; they get no gradient.
    """
    general = general_logits.detach().log_softmax(dim=-1)
    learned = logits.log_softmax(dim=-1)
    return F.kl_div(learned, general, reduction="batchmean", log_target=True)
