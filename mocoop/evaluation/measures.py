"""Measures of calibration and of routing: how a router uses its experts.

These are pure functions of tensors. They read no files and do not change their arguments. Sums
are computed in float64 on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mocoop.errors import UserError
from mocoop.evaluation.checks import (
    as_distributions,
    as_table,
    check_labels,
    check_same_shape,
)
from mocoop.model.router import routing_entropy

UNUSED_SHARE = 0.1  # an expert with less than this fraction of an even share is unused


@dataclass(frozen=True)
class ReliabilityBin:
    """One bar of a reliability diagram: the images whose top probability is in (low, high]."""

    low: float
    """Lower end, not in the bin."""
    high: float
    """Upper end, in the bin."""
    count: int
    """Images in the bin."""
    mean_confidence: float | None
    """Mean top probability, 0 to 1; None in an empty bin."""
    accuracy: float | None
    """Share of images classified correctly, 0 to 1; None in an empty bin."""


@dataclass(frozen=True)
class RoutingMeasures:
    """How certain a router is for single images, and how evenly it uses the experts."""

    entropy: float
    """Mean entropy of softmax(scores) over all experts, in nats."""
    entropy_share: float
    """The entropy divided by its maximum, log(experts), 0 to 1; 0 with one expert."""
    load_balance: float
    """Entropy of the mean weights, divided by its maximum, log(experts): 1 means that all
    experts are used equally, 0 that one expert gets all images; 1 with one expert."""
    largest_load: float
    """Largest mean weight of an expert, 0 to 1."""
    unused: int
    """Number of experts whose mean weight is below a tenth of an even share."""
    usage: tuple[float, ...]
    """Mean weight of every expert."""


@dataclass(frozen=True)
class GuideAgreement:
    """How often the learned gate and the label-guided target choose the same, in percent."""

    first: float
    """Images for which the gate and the guide have the same best expert."""
    overlap: float
    """Mean share of the K experts chosen by the gate that are also among the guide's K best."""
    expected_first: float
    """Expected value of `first` for a gate that chooses at random."""
    expected_overlap: float
    """Expected value of `overlap` for a gate that chooses at random."""


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Returns the expected calibration error in percent: 0 is perfect.

    This is the mean distance between confidence (the top probability) and accuracy over bins
    of equal width, weighted by the number of images in each bin.

    Args:
        probabilities: (images, classes), rows that sum to 1.
        labels: true classes, (images,).
        bins: number of bins over (0, 1].

    Raises:
        UserError: if shapes or types do not match, or the rows are logits, not probabilities.

    Source: Guo et al., *On Calibration of Modern Neural Networks*, arXiv 1706.04599, eq. 3.

    >>> calibration_error(torch.tensor([[0.75, 0.25], [0.75, 0.25]]), torch.tensor([0, 0]))
    25.0
    """
    _, confidence, right = _bin_sums(probabilities, labels, bins)
    return 100.0 * (right - confidence).abs().sum().item() / len(labels)


def reliability_table(
    probabilities: Tensor, labels: Tensor, bins: int = 15
) -> list[ReliabilityBin]:
    """Returns all bins of a reliability diagram, including empty ones, lowest first.

    A confidence on the edge of two bins belongs to the lower one, and 1.0 to the last. If
    several classes have the same top probability, the first is the prediction. Arguments and
    errors are those of `calibration_error`.
    """
    columns = zip(*(sums.tolist() for sums in _bin_sums(probabilities, labels, bins)), strict=True)
    return [
        ReliabilityBin(
            index / bins,
            (index + 1) / bins,
            int(count),
            confidence / count if count else None,
            right / count if count else None,
        )
        for index, (count, confidence, right) in enumerate(columns)
    ]


def routing_measures(scores: Tensor, weights: Tensor) -> RoutingMeasures:
    """Returns how certain and how even the routing of some images is.

    Args:
        scores: the router's scores, (images, experts).
        weights: mixture weights, (images, experts), rows that sum to 1.

    Raises:
        UserError: if shapes or types do not match, or the weights do not sum to 1.
    """
    scores = as_table(scores, "scores")
    weights = as_distributions(weights, "weights")
    check_same_shape(scores, weights, "scores", "weights")
    num_experts = scores.shape[1]
    usage = weights.mean(dim=0)  # (experts,)
    entropy, entropy_share, load_balance = 0.0, 0.0, 1.0
    if num_experts > 1:  # with one expert, both shares would be 0 / 0
        entropy = routing_entropy(scores).mean().item()
        entropy_share = _unit(entropy / math.log(num_experts))
        load_balance = _unit(torch.special.entr(usage).sum().item() / math.log(num_experts))
    return RoutingMeasures(
        entropy,
        entropy_share,
        load_balance,
        _unit(usage.max().item()),
        int((usage < UNUSED_SHARE / num_experts).sum()),
        tuple(usage.tolist()),
    )


def guide_agreement(scores: Tensor, guide_scores: Tensor, num_chosen: int) -> GuideAgreement:
    """Returns how often the gate, which has no labels, agrees with the guide, which has them.

    If experts have equal scores, the first one counts as better, for the gate and the guide.
    A model may break such ties in another way.

    Args:
        scores: the router's scores, (images, experts).
        guide_scores: the guide's scores, (images, experts), from `guide_scores`.
        num_chosen: K, from 1 to the number of experts.

    Raises:
        UserError: if shapes or types do not match, or K is out of range.
    """
    scores = as_table(scores, "scores")
    guide_scores = as_table(guide_scores, "guide scores")
    check_same_shape(scores, guide_scores, "scores", "guide scores")
    num_experts = scores.shape[1]
    if not 1 <= num_chosen <= num_experts:
        raise UserError(
            f"num_chosen must be from 1 to {num_experts}, the number of experts; got {num_chosen}."
        )
    ranks, guide_ranks = _ranks(scores), _ranks(guide_scores)  # (images, experts)
    same_first = ((ranks == 0) & (guide_ranks == 0)).sum(dim=1)  # (images,)
    common = ((ranks < num_chosen) & (guide_ranks < num_chosen)).sum(dim=1)  # (images,)
    return GuideAgreement(
        100.0 * same_first.double().mean().item(),
        100.0 * common.double().mean().item() / num_chosen,
        100.0 / num_experts,
        100.0 * num_chosen / num_experts,
    )


def style_information(styles: Sequence[str | None], chosen: Sequence[int]) -> float | None:
    """Returns the normalised mutual information of true style and first expert, 0 to 1.

    None if a style is unknown, or if all images have the same style. If all images go to the
    same expert, the expert carries no information about the style, and the result is 0. This
    is also the case for a model with only one expert.

    Args:
        styles: the true style of each image.
        chosen: the first expert of each image.

    Raises:
        UserError: if the lists have different lengths.
    """
    if len(styles) != len(chosen):
        raise UserError(
            f"Expected a style and an expert for every image; got {len(styles)} styles and "
            f"{len(chosen)} experts. Give both lists for the same images."
        )
    if None in styles or len(set(styles)) < 2:
        return None
    # As scikit-learn's normalized_mutual_info_score, whose import takes two seconds.
    rows = np.unique([str(style) for style in styles], return_inverse=True)[1]
    columns = np.unique(list(chosen), return_inverse=True)[1]
    joint = np.zeros((rows.max() + 1, columns.max() + 1))  # (styles, experts)
    np.add.at(joint, (rows, columns), 1)
    of_style, of_expert = _entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0))
    common = of_style + of_expert - _entropy(joint)
    return min(1.0, max(0.0, 2 * common / (of_style + of_expert)))


def _entropy(counts: np.ndarray) -> float:
    """Returns the entropy of the distribution that counts show, in nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def harmonic_mean(base: float, new: float) -> float:
    """Returns the harmonic mean 2·b·n / (b + n); 0 if both are 0."""
    return 2 * base * new / (base + new) if base + new > 0 else 0.0


def _bin_sums(probabilities: Tensor, labels: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns, for each bin: number of images, sum of confidences, number of correct images.

    Each is a tensor (bins,).
    """
    if bins < 1:
        raise UserError(f"bins must be at least 1; got {bins}.")
    dtype = probabilities.dtype
    probabilities = as_distributions(probabilities, "probabilities")
    check_labels(labels, *probabilities.shape)
    confidence, predicted = probabilities.max(dim=-1)  # (images,)
    right = (predicted == labels.cpu()).double()
    # 0.2 in float32 is slightly above 0.2 in float64. Without rounding the edges in the same
    # way, a probability that equals an edge would fall into the next bin.
    edges = (torch.arange(1, bins, dtype=torch.float64) / bins).to(dtype).double()
    index = torch.bucketize(confidence, edges)  # edges[i - 1] < confidence <= edges[i]
    count = index.bincount(minlength=bins).double()
    return (
        count,
        index.bincount(confidence, minlength=bins),
        index.bincount(right, minlength=bins),
    )


def _ranks(scores: Tensor) -> Tensor:
    """Returns the rank of each expert by score, 0 for the best, (images, experts)."""
    # A stable sort, unlike topk, breaks ties in the same way everywhere.
    return scores.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)


def _unit(share: float) -> float:
    """Returns a share clamped to 0 to 1, which rounding errors may exceed."""
    return min(1.0, max(0.0, share))
