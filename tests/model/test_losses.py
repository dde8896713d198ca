"""The losses: values by hand, derivatives by finite differences, and plain loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from mocoop.model.losses import (
    anchor_loss,
    classification_loss,
    gating_loss,
    general_loss,
    noisy_targets,
    text_supervision_loss,
)
from tests.support import reference


def draw(*shape, seed=0):
    """Returns seeded normal numbers in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def finite_difference(loss, x, step=1e-6):
    """Returns the derivative of loss(x) by central differences, one number at a time."""
    gradient = torch.zeros_like(x)
    for index in range(x.numel()):
        change = torch.zeros_like(x).flatten()
        change[index] = step
        change = change.view_as(x)
        gradient.view(-1)[index] = (loss(x + change) - loss(x - change)) / (2 * step)
    return gradient


def test_classification_by_hand():
    """Two images with known probabilities of the true class."""
    logits = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])
    loss = classification_loss(logits, torch.tensor([1, 1]))  # probabilities 3/4 and 1/5
    assert loss.shape == ()
    assert loss.item() == pytest.approx(-(math.log(3 / 4) + math.log(1 / 5)) / 2)


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_text_supervision_by_hand(scale):
    """One expert on its prototypes, one with its two classes exchanged."""
    prototypes = torch.eye(2).expand(2, 2, 2)
    soft = torch.stack([torch.eye(2), torch.eye(2).flip(0)])
    right = math.log(1 + math.exp(-scale))
    wrong = math.log(1 + math.exp(scale))
    loss = text_supervision_loss(soft, prototypes, scale)
    assert loss.item() == pytest.approx((right + wrong) / 2)


def test_text_supervision_compares_with_the_own_group():
    """An expert's features meet the prototypes of its own group only."""
    own = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    other = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    pair = torch.stack([own, other])
    aligned = text_supervision_loss(pair, pair, 1.0)
    crossed = text_supervision_loss(pair, pair.flip(0), 1.0)
    assert aligned.item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert crossed.item() == pytest.approx(math.log(1 + math.exp(1)))


def test_text_supervision_with_owners_by_hand():
    """Three targets of two experts: each meets the features of its owner."""
    soft = torch.stack([torch.eye(2), torch.eye(2).flip(0)])
    targets = torch.eye(2).expand(3, 2, 2)
    right, wrong = math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))
    loss = text_supervision_loss(soft, targets, 1.0, torch.tensor([0, 1, 1]))
    assert loss.item() == pytest.approx((right + 2 * wrong) / 3)


def test_anchor_by_hand():
    """Of two classes one has not moved, and the other by a quarter turn."""
    soft = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    anchors = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    assert anchor_loss(soft, anchors).item() == pytest.approx((0 + 1) / 2)


def test_the_anchor_loss_is_one_minus_the_cosine():
    soft, anchors = (F.normalize(draw(1, 6, 5, seed=seed), dim=-1) for seed in (0, 1))
    cosines = F.cosine_similarity(soft[0], anchors[0], dim=-1)
    torch.testing.assert_close(anchor_loss(soft, anchors), 1 - cosines.mean())


def test_text_supervision_in_both_directions_by_hand():
    """Two classes whose soft features are equal: no hard prompt can tell them apart."""
    soft, hard = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]]), torch.eye(2)[None]
    right, wrong = math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))
    found = text_supervision_loss(soft, hard, 1.0)
    assert found.item() == pytest.approx((right + wrong) / 2)
    found = text_supervision_loss(soft, hard, 1.0, over_soft=True)
    assert found.item() == pytest.approx(math.log(2))


def test_noise_is_drawn_in_half_of_the_steps_and_changes_no_target():
    targets = F.normalize(draw(35, 10, 16), dim=-1).float()
    kept = targets.clone()
    generator = torch.Generator().manual_seed(1)
    noise = [noisy_targets(targets, 0.05, generator) - targets for _ in range(200)]
    assert torch.equal(targets, kept)
    drawn = [one for one in noise if one.abs().max() > 0]
    assert 80 < len(drawn) < 120
    together = torch.stack(drawn)
    assert together.std().item() == pytest.approx(0.05, rel=0.01)
    assert together.mean().abs() < 1e-3
    again = torch.Generator().manual_seed(1)
    assert torch.equal(noisy_targets(targets, 0.05, again) - targets, noise[0])


def test_general_with_a_temperature_by_hand():
    """Both logits are divided by T, and the divergence is multiplied by its square."""
    logits, general = draw(3, 4), draw(3, 4, seed=1)
    cooled = general_loss(logits / 2, general / 2)
    assert general_loss(logits, general, 2.0).item() == pytest.approx(4 * cooled.item())


def test_general_by_hand():
    """Probabilities 1/4 and 3/4 where the untrained prompt has two halves."""
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, 5.0]])
    general = torch.tensor([[2.0, 2.0], [-1.0, -1.0]])  # the second image agrees
    divergence = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert general_loss(logits, general).item() == pytest.approx(divergence / 2)


def test_general_teaches_the_learnt_side_alone():
    """No gradient reaches the untrained prompt's logits."""
    logits, general = draw(3, 4).requires_grad_(), draw(3, 4, seed=1).requires_grad_()
    found = torch.autograd.grad(general_loss(logits, general), [logits, general],
                                allow_unused=True)  # fmt: skip
    assert found[0].abs().max() > 0
    assert found[1] is None


def test_gating_by_hand():
    """The target weighs the cross-entropies of the experts."""
    scores = torch.tensor([[0.0, math.log(3.0)]])  # probabilities 1/4 and 3/4
    loss = gating_loss(scores, torch.tensor([[0.4, 0.6]]))
    assert loss.item() == pytest.approx(-0.4 * math.log(1 / 4) - 0.6 * math.log(3 / 4))


def losses():
    """Returns name → (loss of one tensor, the tensor, the same by loops)."""
    labels = torch.tensor([0, 2, 1, 1])
    prototypes = F.normalize(draw(3, 4, 5, seed=1), dim=-1)
    target = draw(4, 3, seed=2).softmax(dim=-1)
    templates = F.normalize(draw(5, 4, 5, seed=3), dim=-1)
    owner = torch.tensor([0, 0, 1, 2, 2])
    general = draw(4, 3, seed=4)
    return {
        "classification": (
            lambda x: classification_loss(x, labels),
            draw(4, 3),
            lambda x: reference.classification_loss(x, labels),
        ),
        "text": (
            lambda x: text_supervision_loss(x, prototypes, 3.0),
            F.normalize(draw(3, 4, 5), dim=-1),
            lambda x: reference.text_supervision_loss(x, prototypes, 3.0),
        ),
        "text with owners": (
            lambda x: text_supervision_loss(x, templates, 3.0, owner),
            F.normalize(draw(3, 4, 5), dim=-1),
            lambda x: reference.text_supervision_loss(x, templates, 3.0, owner),
        ),
        "text over soft features": (
            lambda x: text_supervision_loss(x, templates, 3.0, owner, over_soft=True),
            F.normalize(draw(3, 4, 5), dim=-1),
            lambda x: reference.text_supervision_loss(x, templates, 3.0, owner, over_soft=True),
        ),
        "anchor": (
            lambda x: anchor_loss(x, prototypes),
            F.normalize(draw(3, 4, 5), dim=-1),
            lambda x: reference.half_squared_distance(x, prototypes),
        ),
        "general": (
            lambda x: general_loss(x, general),
            draw(4, 3),
            lambda x: reference.general_loss(x, general),
        ),
        "gating": (
            lambda x: gating_loss(x, target),
            draw(4, 3),
            lambda x: reference.gating_loss(x, target),
        ),
    }


@pytest.mark.parametrize("name", losses())
def test_losses_equal_the_loops(name):
    """Value and gradient are those of the plain loops."""
    loss, x, looped = losses()[name]
    x.requires_grad_()
    fast, slow = loss(x), looped(x)
    torch.testing.assert_close(fast, slow)
    (fast_gradient,) = torch.autograd.grad(fast, x)
    (slow_gradient,) = torch.autograd.grad(slow, x)
    torch.testing.assert_close(fast_gradient, slow_gradient)


@pytest.mark.parametrize("name", losses())
def test_losses_have_the_right_derivative(name):
    """The gradient is that of finite differences."""
    loss, x, _ = losses()[name]
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x), x)
    expected = finite_difference(loss, x.detach())
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-8)
    assert gradient.abs().max() > 1e-3
    assert torch.autograd.gradcheck(loss, x)
