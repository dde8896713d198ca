"""The losses: pure functions that return one scalar; the training loop names and sums them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PUBLISHED_DIM = 512  # ViT-B/16's joint embedding, for which PromptSRC's weights were published
NOISY_SHARE = 0.5  # share of the steps whose text loss has noise, as in LASP's code


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns the mean cross-entropy of the mixed logits (batch, classes), a scalar."""
    return F.cross_entropy(logits, labels)


def text_supervision_loss(
    soft: Tensor,
    targets: Tensor,
    scale: float | Tensor,
    owner: Tensor | None = None,
    over_soft: bool = False,
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
        over_soft: classify each hard feature by the soft ones instead, as LASP's code does:
            `scale * <soft[g, .], target[t, c]>`.
    """
    own = soft if owner is None else soft[owner]  # (targets, classes, dim)
    asked, answers = (targets, own) if over_soft else (own, targets)
    logits = scale * asked @ answers.transpose(1, 2)  # (targets, classes, classes)
    label = torch.arange(own.shape[1], device=own.device).expand(own.shape[:2])
    return F.cross_entropy(logits.flatten(0, 1), label.flatten())


def noisy_targets(targets: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Returns the targets of the text loss with normal noise, or unchanged in half of the calls.

    LASP's code does this in every step. The sums are not normalised again, and the targets
    themselves do not change.

    Args:
        targets: (targets, classes, dim), L2-normalised.
        std: standard deviation of the noise in every dimension; 0.05 in LASP's code.
        generator: draws the noise; a CPU generator, so that it is the same on every device.
    """
    if torch.rand(1, generator=generator).item() >= NOISY_SHARE:
        return targets
    return targets + std * torch.randn(targets.shape, generator=generator).to(targets.device)


def anchor_loss(soft: Tensor, anchors: Tensor) -> Tensor:
    """Returns the mean of 1 - cos(soft, hard) over classes, a scalar.

    KgCoOp (Yao et al., CVPR 2023, arXiv 2303.13283) as in its code. The paper writes the squared
    distance, which is twice as much. For normalised features half of it is the same number as
    1 - cos, and is more exact where the two are close.

    Args:
        soft: (experts, classes, dim), L2-normalised.
        anchors: features of each expert's first template, of the same shape.
    """
    return 0.5 * (soft - anchors).square().sum(dim=-1).mean()


def gating_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Returns the mean cross-entropy between the router and its target, a scalar.

    Args:
        scores: the router's scores, (batch, experts).
        target: the target distribution of each image, (batch, experts), detached.
    """
    return F.cross_entropy(scores, target)


def general_loss(logits: Tensor, general_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Returns the mean divergence KL(general || learned) of two predictions, a scalar.

    ProGrad (Zhu et al., ICCV 2023, arXiv 2205.14865): its gradient is the direction that keeps
    the knowledge of the untrained prompt.

    Args:
        logits: logits of the learned prompts, (batch, classes).
        general_logits: logits of the untrained prompt, of the same shape; they get no gradient.
        temperature: T, by which both logits are divided; the divergence is multiplied by T².
    """
    general = (general_logits.detach() / temperature).log_softmax(dim=-1)
    learned = (logits / temperature).log_softmax(dim=-1)
    divergence = F.kl_div(learned, general, reduction="batchmean", log_target=True)
    return temperature**2 * divergence


def feature_consistency_loss(features: Tensor, frozen: Tensor) -> Tensor:
    """Returns the mean absolute difference between features and frozen ones, a scalar.

    PromptSRC (Khattak et al., ICCV 2023, arXiv 2307.06948): for texts and for images. The paper
    takes the mean over all numbers, with weights for 512 dimensions. Here it is the sum over
    dimensions, divided by 512 whatever their number is, and then the mean over the rest. That is
    the published loss at 512, and keeps weight / dim constant for other sizes.

    Args:
        features: (..., dim), L2-normalised.
        frozen: of a shape that broadcasts to the same one, L2-normalised; they get no gradient.
    """
    return (features - frozen.detach()).abs().sum(dim=-1).mean() / PUBLISHED_DIM


def logit_consistency_loss(logits: Tensor, frozen_logits: Tensor) -> Tensor:
    """Returns the divergence KL(frozen || learned), divided by batch and classes, a scalar.

    PromptSRC (arXiv 2307.06948) as in its code: the mean over all images and classes, so that its
    weight in fact falls with the number of classes.

    Args:
        logits: the model's logits, (batch, classes).
        frozen_logits: the frozen CLIP's, of the same shape; they get no gradient.
    """
    return general_loss(logits, frozen_logits) / logits.shape[-1]
