"""Attention of a frozen image tower against the library's: features, gradients, ways out."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call

from mocoop.clip.frozen_attention import FrozenAttention, use_frozen_attention
from mocoop.clip.image_layer_norms import ImageNorms
from tests.support.tiny import tiny_clip


@pytest.fixture
def towers():
    """The same image tower twice: as the library has it, and with frozen attention."""
    plain = tiny_clip().visual
    quick = copy.deepcopy(plain)
    use_frozen_attention(quick)
    return plain, quick


def attentions(tower):
    """Returns a tower's attention layers."""
    return [module for module in tower.modules() if isinstance(module, nn.MultiheadAttention)]


def passes(tower, pictures, autocast):
    """Returns features, and gradients with respect to the tower's LayerNorms."""
    norms = ImageNorms.from_tower(tower)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        features = functional_call(tower, norms.by_name(), (pictures,))
    weight = torch.linspace(-1, 1, features.shape[1])
    return features, torch.autograd.grad((features * weight).sum(), list(norms.parameters()))


def apart(one, other):
    """Returns the relative distance of two tensors."""
    return ((one - other).norm() / other.norm()).item()


@pytest.mark.parametrize(("autocast", "limit"), [(False, 1e-6), (True, 2e-2)])
def test_features_and_gradients_are_the_librarys(towers, generator, autocast, limit):
    pictures = torch.randn(5, 3, 32, 32, generator=generator)
    plain, quick = (passes(tower, pictures, autocast) for tower in towers)
    assert apart(quick[0].float(), plain[0].float()) <= limit
    for ours, theirs in zip(quick[1], plain[1], strict=True):
        assert apart(ours, theirs) <= limit


def test_one_product_instead_of_one_for_each_token(towers, generator):
    """A frozen linear layer behind transposed tokens is a batch of products; ours is none."""
    pictures = torch.randn(5, 3, 32, 32, generator=generator)
    products = []
    for tower in towers:
        with torch.profiler.profile() as profile:
            passes(tower, pictures, autocast=True)
        products.append(sum(event.key == "aten::bmm" for event in profile.key_averages()))
    assert products[1] == 0
    assert products[0] > 0, "the library no longer needs this module"


def test_weights_are_shared_and_keep_their_names(towers):
    plain, quick = towers
    before = {name: value.data_ptr() for name, value in quick.named_parameters()}
    assert all(type(attention) is FrozenAttention for attention in attentions(quick))
    assert before.keys() == dict(plain.named_parameters()).keys()
    assert all(not parameter.requires_grad for parameter in quick.parameters())
    again = copy.deepcopy(plain)
    held = {name: value.data_ptr() for name, value in again.named_parameters()}
    use_frozen_attention(again)
    assert {name: value.data_ptr() for name, value in again.named_parameters()} == held


def test_masks_and_other_keys_go_the_librarys_way(towers, generator):
    plain, quick = (attentions(tower)[0] for tower in towers)
    rows = torch.randn(2, 4, plain.embed_dim, generator=generator)
    others = torch.randn(2, 3, plain.embed_dim, generator=generator)
    mask = torch.full((4, 4), float("-inf")).triu(1)
    for arguments, named in [
        ((rows, rows, rows), {"need_weights": False, "attn_mask": mask}),
        ((rows, rows, rows), {}),
        ((rows, others, others), {"need_weights": False}),
    ]:
        mixed, weights = quick(*arguments, **named)
        expected, expected_weights = plain(*arguments, **named)
        torch.testing.assert_close(mixed, expected)
        assert (weights is None) == (expected_weights is None)


def test_unusual_attention_stays(towers):
    """What the short way would get wrong is left alone."""
    for settings in ({"add_zero_attn": True}, {"bias": False}, {"kdim": 8, "vdim": 8}):
        box = nn.ModuleDict({"attn": nn.MultiheadAttention(16, 2, batch_first=True, **settings)})
        use_frozen_attention(box)
        assert type(box["attn"]) is nn.MultiheadAttention
