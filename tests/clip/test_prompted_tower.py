"""Learned tokens in an image tower beside the plain form, in every kind of tower."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from open_clip.model import CLIP, _build_vision_tower
from open_clip.model import CLIPVisionCfg as VisionSettings

from mocoop.clip.prompted_tower import check_can_be_prompted, prompted_features
from mocoop.clip.tuned_tower import TunedTower
from mocoop.errors import UserError
from mocoop.model.soft_prompts import prompt_starts
from mocoop.presets import preset
from tests.parity import towers
from tests.support.deep_clip import DEPTH, deep_backbone, deep_clip
from tests.support.tiny import TINY_CONFIG

KINDS = {
    "class token": {},
    "average": {"pool_type": "avg"},
}


def pictures():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def learned(depth, count=2):
    drawn = torch.randn(depth, count, 32, generator=torch.Generator().manual_seed(2))
    return drawn.requires_grad_()


@pytest.mark.parametrize("insertion", ["replace", "keys"])
@pytest.mark.parametrize("depth", [1, 2, DEPTH])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens_first", [False, True])
def test_features_and_gradients_equal_the_plain_form(kind, depth, insertion, tokens_first):
    """For either axis order of the tokens, either pooling, and any depth."""
    visual = deep_clip(vision=KINDS[kind]).visual
    expected_of = lambda tokens: towers.see(visual, pictures(), tokens, insertion == "keys")
    tokens = learned(depth)
    expected = expected_of(tokens)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(3))
    (gradient,) = torch.autograd.grad((expected * weights).sum(), tokens)
    if tokens_first:
        swap_axes(visual)
    found = prompted_features(visual, pictures(), tokens, insertion)
    found = found / found.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    (own,) = torch.autograd.grad((found * weights).sum(), tokens)
    torch.testing.assert_close(own, gradient, rtol=1e-4, atol=1e-5)


def swap_axes(visual):
    """Makes a tower take its tokens as the first axis, as open_clip's towers did for long."""
    visual.transformer.batch_first = False
    for block in visual.transformer.resblocks:
        block.attn.batch_first = False


def test_frozen_feature_follows_the_tuned_one():
    """With `with_frozen` the second half is the frozen tower's feature, without a gradient."""
    backbone = deep_backbone()
    tokens = learned(2)
    plain = backbone.image_features(pictures())
    both = TunedTower(tokens=tokens, with_frozen=True)
    found = both.features(backbone.model.visual, pictures())
    assert found.shape == (3, 32)
    assert torch.equal(found[:, 16:], plain)
    assert not torch.allclose(found[:, :16], plain)
    (gradient,) = torch.autograd.grad(found[:, 16:].sum() + found[:, 0].sum(), tokens)
    (alone,) = torch.autograd.grad(
        TunedTower(tokens=tokens).features(backbone.model.visual, pictures())[:, 0].sum(), tokens
    )
    torch.testing.assert_close(gradient, alone)
    assert backbone.with_tuned(both).feature_dim == 2 * backbone.text.dim


def test_tuned_backbones_have_fingerprints_of_their_own():
    """So that their features never share a cache with those of another tower."""
    backbone, tokens = deep_backbone(), learned(2).detach()
    towers_ = (
        TunedTower(tokens=tokens),
        TunedTower(tokens=tokens, insertion="keys"),
        TunedTower(tokens=tokens, with_frozen=True),
        TunedTower(tokens=2 * tokens),
        TunedTower({"ln_pre.weight": torch.ones(32)}, tokens),
    )
    prints = {backbone.with_tuned(tower).fingerprint for tower in towers_}
    assert len(prints | {backbone.fingerprint}) == 6
    assert backbone.with_tuned(TunedTower()) is backbone


def test_overrides_and_tokens_together():
    """Other LayerNorms and learned tokens work in the same tower."""
    backbone, tokens = deep_backbone(), learned(2).detach()
    name = "transformer.resblocks.0.ln_1.weight"
    other = torch.full((32,), 0.5)
    found = TunedTower({name: other}, tokens).features(backbone.model.visual, pictures())
    visual = deep_clip().visual
    visual.load_state_dict(visual.state_dict() | {name: other})
    torch.testing.assert_close(found, towers.see(visual, pictures(), tokens))


def test_threads_with_a_tower_in_common_do_not_see_each_others_values():
    """One thread encodes with other LayerNorms while another one encodes without any."""
    backbone = deep_backbone()
    name = "transformer.resblocks.0.ln_1.weight"
    tuned = backbone.with_tuned(TunedTower({name: torch.full((32,), 0.5)}))
    expected = {one.fingerprint: one.image_features(pictures()) for one in (backbone, tuned)}
    with ThreadPoolExecutor(2) as pool:
        work = lambda one: [one.image_features(pictures()) for _ in range(200)]
        for one, found in zip((backbone, tuned), pool.map(work, (backbone, tuned)), strict=True):
            assert all(torch.equal(row, expected[one.fingerprint]) for row in found)


def test_other_towers_are_refused():
    """A ResNet, a tower with attention pooling, and more blocks than there are."""
    resnet = _build_vision_tower(16, VisionSettings(layers=(1, 1, 1, 1), width=8, image_size=32))
    with pytest.raises(UserError, match=r"takes no learned tokens\. Choose a ViT"):
        check_can_be_prompted(resnet, 1)
    pooled = CLIP(
        16,
        vision_cfg=TINY_CONFIG["vision_cfg"] | {"attentional_pool": True, "attn_pooler_heads": 2},
        text_cfg=TINY_CONFIG["text_cfg"],
    )
    with pytest.raises(UserError, match="takes no learned tokens"):
        check_can_be_prompted(pooled.visual, 1)
    with pytest.raises(UserError, match=r"vision_depth is 4, .* only 3 blocks\. Choose 1 to 3"):
        check_can_be_prompted(deep_clip().visual, DEPTH + 1)
    with pytest.raises(UserError, match=r"vision_depth is 2, .* only 1 block\. Choose 1\."):
        check_can_be_prompted(CLIP(**TINY_CONFIG).visual, 2)


def test_text_depth_beyond_the_tower():
    """It is refused before the first step, with what the tower has."""
    backbone = deep_backbone()
    groups = {"prompt": ("a photo of a {}.",)}
    config = replace(preset("ivlp"), text_depth=DEPTH + 1, groups=groups)
    with pytest.raises(UserError, match=r"text_depth is 4, .* only 3 blocks\. Choose 1 to 3"):
        prompt_starts(config, backbone.text, groups, torch.Generator())
