"""Numbers that say how well probabilities are calibrated and how a router spends its experts.

Pure functions of tensors: nothing is read, trained or drawn here. Reported numbers are summed
in float64 on the CPU; arguments are not changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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

UNUSED_SHARE = 0.1  # an expert under this part of an even share counts as unused


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose top probability lies in (low, high], one bar of a reliability diagram."""

    low: float
    """Lower end, outside the bin."""
    high: float
    """Upper end, inside the bin."""
    count: int
    """Images in the bin."""
    mean_confidence: float | None
    """Mean top probability, 0 to 1; None in an empty bin."""
    accuracy: float | None
    """Share of images told right, 0 to 1; None in an empty bin."""


@dataclass(frozen=True)
class RoutingMeasures:
    """How decided a router is on single images, and how evenly it uses the experts."""

    entropy: float
    """Mean entropy of softmax(scores) over all experts, in nats."""
    entropy_share: float
    """The entropy over that of an undecided router, 0 to 1; 0 with one expert."""
    load_balance: float
    """Entropy of the mean weights over that of even use: 1 is even, 0 is one expert for all
    images; 1 with one expert."""
    largest_load: float
    """Largest mean weight of an expert, 0 to 1."""
    unused: int
    """Experts whose mean weight is under a tenth of an even share."""
    usage: tuple[float, ...]
    """Mean weight of every expert."""


@dataclass(frozen=True)
class GuideAgreement:
    """How often the learnt gate chooses what the label-guided target would, in percent."""

    first: float
    """Images whose best expert by the gate is the best by the guide."""
    overlap: float
    """Mean share of the K chosen experts that are among the guide's K best."""
    expected_first: float
    """What `first` would be if the gate chose at random."""
    expected_overlap: float
    """What `overlap` would be if the gate chose at random."""


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Returns the expected calibration error in percent: 0 is perfect.

    The mean distance between confidence (the top probability) and accuracy over bins of
    equal width, weighted by their number of images.

    Args:
        probabilities: (images, classes), rows that sum to 1.
        labels: true classes, (images,).
        bins: number of bins over (0, 1].

    Raises:
        UserError: for tensors that do not fit, and for logits in place of probabilities.

    Source: Guo et al., *On Calibration of Modern Neural Networks*, arXiv 1706.04599, eq. 3.

    >>> calibration_error(torch.tensor([[0.75, 0.25], [0.75, 0.25]]), torch.tensor([0, 0]))
    25.0
    """
    _, confidence, right = _bin_sums(probabilities, labels, bins)
    return 100.0 * (right - confidence).abs().sum().item() / len(labels)


def reliability_table(
    probabilities: Tensor, labels: Tensor, bins: int = 15
) -> list[ReliabilityBin]:
    """Returns every bin of a reliability diagram, empty ones included, lowest first.

    A confidence on the edge of two bins is in the lower one, and 1.0 in the last. Of classes
    with the same top probability the first counts as the prediction. Arguments and errors are
    those of `calibration_error`.
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
    """Returns how decided and how even the routing of some images is.

    Args:
        scores: the router's scores, (images, experts).
        weights: mixture weights, (images, experts), rows that sum to 1.

    Raises:
        UserError: for tensors that do not fit, and for weights that are none.
    """
    scores = as_table(scores, "scores")
    weights = as_distributions(weights, "weights")
    check_same_shape(scores, weights, "scores", "weights")
    num_experts = scores.shape[1]
    usage = weights.mean(dim=0)  # (experts,)
    entropy, entropy_share, load_balance = 0.0, 0.0, 1.0
    if num_experts > 1:  # the shares of one expert would be 0 / 0
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
    """Returns how well the gate does without labels what the guide does with them.

    Of experts with equal scores the first counts as the better one, in both; a model may
    break such a tie in another way.

    Args:
        scores: the router's scores, (images, experts).
        guide_scores: the guide's, (images, experts), from `guide_scores`.
        num_chosen: K, from 1 to experts.

    Raises:
        UserError: for tensors that do not fit, or another K.
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

    None where there is nothing to tell apart: a style is unknown, or there is only one. A
    router that sends all images to one expert says nothing of their style, which gives 0;
    a model that has only one expert looks the same here.

    Args:
        styles: each image's true style.
        chosen: each image's first expert.

    Raises:
        UserError: for lists of different lengths.
    """
    if len(styles) != len(chosen):
        raise UserError(
            f"Expected a style and an expert of every image; got {len(styles)} styles and "
            f"{len(chosen)} experts. Give both lists for the same images."
        )
    if None in styles or len(set(styles)) < 2:
        return None
    from sklearn.metrics import normalized_mutual_info_score  # here: slow to import

    return float(normalized_mutual_info_score(list(styles), list(chosen)))


def _bin_sums(probabilities: Tensor, labels: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns images, summed confidences and right images of each bin, (bins,) each."""
    if bins < 1:
        raise UserError(f"bins must be at least 1; got {bins}.")
    dtype = probabilities.dtype
    probabilities = as_distributions(probabilities, "probabilities")
    check_labels(labels, *probabilities.shape)
    confidence, predicted = probabilities.max(dim=-1)  # (images,)
    right = (predicted == labels.cpu()).double()
    # The probability 0.2 in float32 is not that of float64: round the edges the same way, or
    # it would lie above its own edge.
    edges = (torch.arange(1, bins, dtype=torch.float64) / bins).to(dtype).double()
    index = torch.bucketize(confidence, edges)  # edges[i - 1] < confidence <= edges[i]
    count = index.bincount(minlength=bins).double()
    return (
        count,
        index.bincount(confidence, minlength=bins),
        index.bincount(right, minlength=bins),
    )


def _ranks(scores: Tensor) -> Tensor:
    """Returns each expert's place by score, 0 for the best, (images, experts)."""
    # Stable, unlike topk, so that ties are broken in the same way everywhere.
    return scores.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)


def _unit(share: float) -> float:
    """Returns a share without the rounding that takes it out of 0 to 1."""
    return min(1.0, max(0.0, share))


def harmonic_mean(base: float, new: float) -> float:
    """Returns 2·b·n / (b + n), 0 where both are 0."""
    return 2 * base * new / (base + new) if base + new > 0 else 0.0
