"""What groups are worth without training: two groups per image, chosen by their prototypes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CHOSEN = 2  # groups per image, as in a mixture


def prototypes_of(features: Tensor, labels: Tensor) -> Tensor:
    """Returns the normalised mean features of groups, (groups, classes, dim).

    Args:
        features: features of templates, (templates, classes, dim).
        labels: the group of each template, (templates,); every number from 0 is used.
    """
    weights = F.one_hot(labels).float()  # (templates, groups)
    means = torch.einsum("tg,tcd->gcd", weights, features)
    return F.normalize(means, dim=-1)


def fit(images: Tensor, prototypes: Tensor) -> Tensor:
    """Returns how well each group suits each image, (images, groups); no label is needed.

    It is the group's largest cosine, minus its mean over the images: some groups are nearer to
    all images than others.

    Args:
        images: unit features (images, dim).
        prototypes: (groups, classes, dim).
    """
    largest = torch.einsum("id,gcd->igc", images, prototypes).amax(dim=-1)
    return largest - largest.mean(dim=0)


def routed_accuracy(images: Tensor, labels: Tensor, prototypes: Tensor, scale: float) -> float:
    """Returns the accuracy in percent when every image takes its two best groups.

    Their class features are blended with the softmax of `fit`, as a router blends experts.

    Args:
        images: unit features (images, dim).
        labels: positions of the true classes, (images,).
        prototypes: (groups, classes, dim).
        scale: scale of the logits.
    """
    suits, chosen = fit(images, prototypes).topk(min(CHOSEN, len(prototypes)), dim=1)
    weights = (scale * suits).softmax(dim=1)
    cosines = torch.einsum("id,gcd->igc", images, prototypes)
    rows = torch.arange(len(images))[:, None]
    logits = (weights[..., None] * cosines[rows, chosen]).sum(dim=1)
    return 100.0 * float(logits.argmax(dim=1).eq(labels).float().mean())


def shares(images: Tensor, prototypes: Tensor) -> list[float]:
    """Returns for each group the share of images, 0 to 1, that have it among their two best."""
    chosen = fit(images, prototypes).topk(min(CHOSEN, len(prototypes)), dim=1).indices
    counts = torch.bincount(chosen.flatten(), minlength=len(prototypes))
    return [float(count) / len(images) for count in counts]
