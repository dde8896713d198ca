"""The router: mixture weights, the guide's target, and the entropy of routing."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from mocoop.model.router import (
    GUIDE_BONUS,
    guide_scores,
    guide_target,
    routing_entropy,
    top_weights,
)
from tests.support import reference


def draw(*shape, seed=0):
    """Returns seeded normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_top_weights_by_hand():
    """The two largest of three scores share the weight by softmax."""
    scores = torch.tensor([[0.0, math.log(3.0), -5.0], [7.0, 7.0, 7.0 + math.log(2.0)]])
    weights = top_weights(scores, 2)
    torch.testing.assert_close(weights[0], torch.tensor([0.25, 0.75, 0.0]))
    assert weights[1, 2].item() == pytest.approx(2 / 3)
    assert sorted(weights[1, :2].tolist()) == pytest.approx([0.0, 1 / 3])


@pytest.mark.parametrize("num_chosen", [1, 2, 3, 7])
def test_top_weights_equal_the_loops(num_chosen):
    """Each row sums to one over exactly K experts, as the loops have it."""
    scores = draw(20, 7)
    weights = top_weights(scores, num_chosen)
    torch.testing.assert_close(weights, reference.top_weights(scores, num_chosen))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(20))
    assert ((weights > 0).sum(dim=1) == num_chosen).all()


def test_top_weights_pass_gradients_to_chosen_scores_alone():
    """A score that is not chosen gets no gradient, and the others get the right one."""
    scores = draw(4, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: top_weights(x, 2), scores)
    weights = top_weights(scores, 2)
    (gradient,) = torch.autograd.grad((weights * draw(4, 5, seed=1)).sum(), scores)
    assert torch.equal(gradient != 0, weights > 0)


def test_guide_target_by_hand():
    """Three experts, one chosen: its score is raised by ten before the softmax."""
    features = torch.tensor([[1.0, 0.0]])
    prototypes = torch.tensor([[[0.0, 1.0], [0.6, 0.8]], [[1.0, 0.0], [0.0, 1.0]],
                               [[0.8, 0.6], [0.8, 0.6]]])  # fmt: skip
    target = guide_target(guide_scores(features, prototypes, torch.tensor([1])), 1)
    scores = [0.6, 0.0, 0.8 + GUIDE_BONUS]  # of class 1
    total = sum(math.exp(score) for score in scores)
    torch.testing.assert_close(target, torch.tensor([[math.exp(s) / total for s in scores]]))
    assert GUIDE_BONUS == 10.0


@pytest.mark.parametrize("num_chosen", [1, 2, 4])
def test_guide_target_equals_the_loops(num_chosen):
    """The target is a distribution per image, as the loops have it."""
    features = F.normalize(draw(9, 8), dim=-1)
    prototypes = F.normalize(draw(4, 3, 8, seed=1), dim=-1)
    labels = torch.tensor([0, 1, 2, 2, 1, 0, 0, 1, 2])
    target = guide_target(guide_scores(features, prototypes, labels), num_chosen)
    torch.testing.assert_close(
        target, reference.guide_target(features, prototypes, labels, num_chosen)
    )
    torch.testing.assert_close(target.sum(dim=1), torch.ones(9))


def test_guide_target_is_detached():
    """No gradient flows through the target, even where its inputs would take one."""
    features = F.normalize(draw(3, 4), dim=-1).requires_grad_()
    prototypes = F.normalize(draw(2, 3, 4, seed=1), dim=-1).requires_grad_()
    target = guide_target(guide_scores(features, prototypes, torch.tensor([0, 1, 2])), 1)
    assert not target.requires_grad
    assert target.grad_fn is None


def test_routing_entropy_by_hand():
    """Equal scores have the largest entropy, and a certain router none."""
    scores = torch.tensor([[2.0, 2.0, 2.0, 2.0], [0.0, math.log(3.0), -80.0, -80.0],
                           [90.0, 0.0, 0.0, 0.0]])  # fmt: skip
    mixed = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    expected = torch.tensor([math.log(4.0), mixed, 0.0])
    torch.testing.assert_close(routing_entropy(scores), expected)
