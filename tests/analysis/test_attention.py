"""Attention in an image tower beside the plain form, and its rollout, in every kind of tower."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from open_clip.model import CLIP, _build_vision_tower
from open_clip.model import CLIPVisionCfg as VisionSettings

from mocoop.analysis.attention import check_has_attention, tower_attention
from mocoop.clip.late_tokens import LateTokens
from mocoop.clip.low_rank import LowRank
from mocoop.clip.tuned_tower import TunedTower
from mocoop.errors import UserError
from mocoop.prompt_encoder.key_tokens import KeyTokens
from tests.support.deep_clip import DEPTH, deep_backbone
from tests.support.tiny import TINY_CONFIG

COUNT, OWN = 2, 5  # learned tokens per block; [CLS] and four patches
TUNED = {
    "none": (0, "replace"),
    "shallow": (1, "replace"),
    "deep": (2, "replace"),
    "all": (DEPTH, "replace"),
    "keys": (2, "keys"),
}


def pictures():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def learned(depth):
    drawn = torch.randn(depth, COUNT, 32, generator=torch.Generator().manual_seed(2))
    return 3 * drawn


def plain_attention(visual, images, tokens, keys_only):
    """Returns each block's weights (batch, heads, tokens, keys), one block at a time.

    `tokens` are those of the first blocks, or number of a block → tokens.
    """
    of_block = tokens if isinstance(tokens, dict) else dict(enumerate(tokens))
    patches = F.conv2d(images, visual.conv1.weight, stride=visual.conv1.stride)
    first = visual.class_embedding.expand(len(images), 1, -1)
    x = torch.cat([first, patches.flatten(2).transpose(1, 2)], dim=1) + visual.positional_embedding
    if 0 in of_block and not keys_only:
        x = torch.cat([x, of_block[0].expand(len(x), -1, -1)], dim=1)
    x, found = visual.ln_pre(x), []
    for number, block in enumerate(visual.transformer.resblocks):
        own = of_block[number].expand(len(x), -1, -1) if number in of_block else None
        if own is not None and number > 0 and not keys_only:
            x = torch.cat([x[:, :OWN], own], dim=1)
        keys = x if own is None or not keys_only else torch.cat([x, own], dim=1)
        mixed, weights = torch.nn.functional.multi_head_attention_forward(
            *(block.ln_1(part).transpose(0, 1) for part in (x, keys, keys)),
            32, 2, block.attn.in_proj_weight, block.attn.in_proj_bias, None, None, False, 0.0,
            block.attn.out_proj.weight, block.attn.out_proj.bias, average_attn_weights=False,
        )  # fmt: skip
        found.append(weights)
        x = x + mixed.transpose(0, 1)
        x = x + block.mlp(block.ln_2(x))
    return found


def tuned_backbone(name, **vision):
    depth, insertion = TUNED[name]
    backbone = deep_backbone(vision=vision)
    tokens = learned(depth) if depth else torch.zeros(0, COUNT, 32)
    if depth:
        backbone = backbone.with_tuned(TunedTower({}, tokens, insertion, with_frozen=True))
    return backbone, tokens, insertion == "keys"


def swap_axes(visual):
    """Makes a tower take its tokens as the first axis, as open_clip's towers did for long."""
    visual.transformer.batch_first = False
    for block in visual.transformer.resblocks:
        block.attn.batch_first = False


def updates():
    """Returns low-rank updates of the attention in all blocks."""
    generator = torch.Generator().manual_seed(4)
    down = torch.randn(DEPTH, 3, 2, 32, generator=generator)
    return LowRank(down, torch.randn(DEPTH, 3, 32, 2, generator=generator), 0.1)


def merged(backbone):
    """Returns the image tower with these updates in its weights."""
    visual, low = backbone.model.visual, updates()
    with torch.no_grad():
        for index, block in enumerate(visual.transformer.resblocks):
            for part in range(3):
                change = low.up[index, part] @ low.down[index, part]
                block.attn.in_proj_weight[32 * part : 32 * (part + 1)] += low.scale * change
    return visual


@pytest.mark.parametrize("name", TUNED)
@pytest.mark.parametrize("tokens_first", [False, True])
def test_weights_equal_the_plain_form(name, tokens_first):
    """In every block, for either axis order of the tokens; rows sum to 1."""
    backbone, tokens, keys_only = tuned_backbone(name)
    expected = plain_attention(backbone.model.visual, pictures(), tokens, keys_only)
    if tokens_first:
        swap_axes(backbone.model.visual)
    found = tower_attention(backbone, pictures())
    assert len(found.blocks) == DEPTH
    assert found.grid == (2, 2)
    assert found.own == OWN
    for own, plain in zip(found.blocks, expected, strict=True):
        torch.testing.assert_close(own, plain.mean(dim=1), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(own.sum(dim=-1), torch.ones(own.shape[:2]))


@pytest.mark.parametrize("insertion", ["replace", "keys"])
@pytest.mark.parametrize("shared", [0, 1])
def test_the_last_blocks_of_each_expert(shared, insertion):
    """Where experts have tokens of their own there: one expert is followed as if it were alone."""
    backbone, first = deep_backbone(), learned(shared)
    generator = torch.Generator().manual_seed(5)
    tokens = 3 * torch.randn(3, 1, COUNT, 32, generator=generator)
    late = LateTokens(tokens, torch.randn(3, 16, generator=generator), torch.zeros(3), 2)
    parts = {"tokens": first if shared else None, "insertion": insertion, "late": late}
    tuned = backbone.with_tuned(TunedTower(**parts))
    for expert in range(3):
        of_block = dict(enumerate(first)) | {DEPTH - 1: tokens[expert, 0]}
        expected = plain_attention(
            backbone.model.visual, pictures(), of_block, insertion == "keys"
        )
        found = tower_attention(tuned, pictures(), expert)
        for own, plain in zip(found.blocks, expected, strict=True):
            torch.testing.assert_close(own, plain.mean(dim=1), rtol=1e-5, atol=1e-6)
        assert [found.has_own_tokens(block) for block in range(DEPTH)] == [shared > 0, False, True]
        rollout = found.rollout()
        torch.testing.assert_close(rollout.sum(dim=-1), torch.ones(3))
        assert bool((rollout[:, -1] > 0).all())


@pytest.mark.parametrize("pool", ["tok", "avg"])
@pytest.mark.parametrize("name", TUNED)
def test_rollout_follows_every_path(name, pool):
    """Equal to following the sources of each token through the blocks, one by one."""
    backbone, tokens, keys_only = tuned_backbone(name, pool_type=pool)
    found = tower_attention(backbone, pictures())
    assert found.reads_cls == (pool == "tok")
    weights = [block[0] for block in found.blocks]
    learned_source = [0.0] * OWN + [1.0]
    sources = [[float(i == j) for j in range(OWN + 1)] for i in range(OWN)]
    if len(tokens) and not keys_only:
        sources += [learned_source] * COUNT
    for number, block in enumerate(weights):
        if number < len(tokens):
            sources = sources[:OWN] + [learned_source] * COUNT
        after = []
        for token, row in enumerate(block):
            mixed = [sum(float(w) * s[j] for w, s in zip(row, sources, strict=True)) for j in
                     range(OWN + 1)]  # fmt: skip
            after.append([0.5 * a + 0.5 * b for a, b in zip(sources[token], mixed, strict=True)])
        sources = after
    ends = torch.tensor(sources)
    expected = ends[0] if pool == "tok" else ends[1:OWN].mean(dim=0)
    rollout = found.rollout()
    assert rollout.shape == (3, OWN + 1)
    torch.testing.assert_close(rollout[0], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(rollout.sum(dim=-1), torch.ones(3))


def test_what_the_reader_and_the_learned_tokens_look_at():
    """[CLS] or the mean over patches; learned tokens look only where they stay in the block."""
    backbone, *_ = tuned_backbone("deep")
    found = tower_attention(backbone, pictures())
    last = found.blocks[-1]
    assert torch.equal(found.of_reader(-1), last[:, 0])
    assert torch.equal(found.of_learned(-1), last[:, OWN:])
    patches = found.on_patches(found.of_learned(-1))
    assert patches.shape == (3, COUNT, 2, 2)
    assert torch.equal(patches[0, 1, 1], last[0, OWN + 1, 3:5])
    shares = found.shares(found.of_reader(-1))
    torch.testing.assert_close(sum(shares), torch.ones(3))
    assert torch.equal(shares[1], last[:, 0, 0])
    keys, *_ = tuned_backbone("keys", pool_type="avg")
    found = tower_attention(keys, pictures())
    assert found.of_learned(0).shape == (3, 0, OWN + COUNT)
    assert bool((found.shares(found.of_reader(0))[2] > 0).all())
    torch.testing.assert_close(found.of_reader(0), found.blocks[0][:, 1:OWN].mean(dim=1))


def test_other_values_of_parameters_count():
    """Those that a run has learned change the attention; the tower keeps no trace of them."""
    backbone = deep_backbone()
    plain = tower_attention(backbone, pictures())
    name = "transformer.resblocks.0.ln_1.weight"
    tuned = backbone.with_tuned(TunedTower({name: torch.full((32,), 0.5)}))
    assert not torch.allclose(tower_attention(tuned, pictures()).blocks[0], plain.blocks[0])
    changed = backbone.with_tuned(TunedTower(updates=updates()))
    expected = plain_attention(merged(deep_backbone()), pictures(), torch.zeros(0, 2, 32), False)
    for found, weights in zip(tower_attention(changed, pictures()).blocks, expected, strict=True):
        torch.testing.assert_close(found, weights.mean(dim=1), rtol=1e-5, atol=1e-6)
    again = tower_attention(backbone, pictures())
    assert all(torch.equal(a, b) for a, b in zip(again.blocks, plain.blocks, strict=True))
    assert not any(block.attn._forward_pre_hooks for block in
                   backbone.model.visual.transformer.resblocks)  # fmt: skip


def test_other_towers_are_refused():
    """A ResNet, and a tower that pools with attention of its own."""
    resnet = _build_vision_tower(16, VisionSettings(layers=(1, 1, 1, 1), width=8, image_size=32))
    with pytest.raises(UserError, match=r"\(ModifiedResNet\) has no blocks .* ViT of open_clip"):
        check_has_attention(resnet)
    pooling = TINY_CONFIG["vision_cfg"] | {"attentional_pool": True, "attn_pooler_heads": 2}
    pooled = CLIP(16, vision_cfg=pooling, text_cfg=TINY_CONFIG["text_cfg"])
    with pytest.raises(UserError, match="no blocks in which a token attends"):
        check_has_attention(pooled.visual)


def test_another_number_of_keys_in_every_block():
    """As DPL chooses them; what is looked at still sums to 1."""
    drawn = torch.randn(4, 32, generator=torch.Generator().manual_seed(6))
    keys = KeyTokens((drawn[:3], drawn[:0], drawn[3:]))
    found = tower_attention(deep_backbone().with_tuned(TunedTower(keys=keys)), pictures())
    assert [weights.shape[2] - OWN for weights in found.blocks] == [3, 0, 1]
    assert found.of_learned(0).shape[1] == 0
    sources = found.rollout()
    torch.testing.assert_close(sources.sum(dim=-1), torch.ones(3))
    assert (sources[:, -1] > 0).all()
