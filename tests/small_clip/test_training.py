"""The small CLIP of scenes: its losses, its captions, its repeatability, and going on."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mocoop.clip.backbone import load_backbone
from mocoop.errors import UserError
from mocoop.small_clip.captions import cut, step_captions
from mocoop.small_clip.config import SmallClipConfig
from mocoop.small_clip.evaluation import role_accuracy
from mocoop.small_clip.losses import (
    any_name_loss,
    matching_loss,
    name_and_role_loss,
    name_given_role_loss,
    patch_loss,
    style_loss,
)
from mocoop.small_clip.model import TokenBook, build_model
from mocoop.small_clip.optimizer import optimizers
from mocoop.small_clip.pictures import Artist, step_pictures
from mocoop.small_clip.snapshot import SNAPSHOT
from mocoop.small_clip.training import image_encoder, loss_parts, train_small_clip
from mocoop.world.patches import NOBODY
from mocoop.world.roles import ROLES
from mocoop.world.styles import STYLES
from mocoop.world.things import find_things

SMALL = SmallClipConfig(
    pictures=24, batch_size=6, width=32, layers=1, names=5, captions=4, style_names=2,
    patch_block=1, eval_every=2, eval_scenes=27, precision="fp32",
)  # fmt: skip


@pytest.fixture(scope="module")
def artist():
    return Artist()


@pytest.fixture(scope="module")
def drawn(artist):
    pool = artist.pool(7, np.random.default_rng(0))
    return pool, artist.draw(10, 0.4, pool, np.random.default_rng(1))


def test_losses_by_hand():
    logits = torch.zeros(1, 2, 2)
    logits[0, 0, 1] = math.log(3.0)  # given the first role, the second name has 3/4
    things = torch.tensor([[1, NOBODY]])
    assert name_given_role_loss(logits, things).item() == pytest.approx(-math.log(3 / 4))
    assert name_and_role_loss(logits, things).item() == pytest.approx(-math.log(3 / 6))
    both = torch.tensor([[1, 0]])
    expected = -(math.log(3 / 6) + math.log(1 / 6)) / 2
    assert name_and_role_loss(logits, both).item() == pytest.approx(expected)
    openly = torch.tensor([[0.0, math.log(3.0)]])
    assert any_name_loss(openly, things).item() == pytest.approx(-math.log(3 / 4))
    assert any_name_loss(openly, both).item() == pytest.approx(
        -(math.log(3 / 4) + math.log(1 / 4)) / 2
    )
    assert style_loss(openly, torch.tensor([0])).item() == pytest.approx(math.log(4))
    assert style_loss(torch.zeros(0, 9), torch.zeros(0, dtype=torch.long)).item() == 0


def test_matching_loss_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    expected = -(math.log(0.75) + math.log(0.5)) / 2
    assert matching_loss(logits, torch.eye(2)).item() == pytest.approx(expected)
    sides = -(math.log(0.75) + math.log(0.25)) / 2, math.log(2.0)
    both = matching_loss(logits, torch.ones(2, 2)).item()
    assert both == pytest.approx((sides[0] + sides[1]) / 2)


def test_patch_loss_by_hand():
    things = torch.tensor([[1, 0]])
    patches = torch.tensor([[NOBODY, 1, 0]])
    logits = torch.zeros(2, 2, 2)  # (shown, roles, names)
    logits[0, 1, 0] = math.log(3.0)  # the true pair of the second patch has 3/6
    expected = -(math.log(3 / 6) + math.log(1 / 4)) / 2
    assert patch_loss(logits, things, patches).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", [name_given_role_loss, name_and_role_loss])
def test_gradients_by_finite_differences(loss):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    things = torch.tensor([[1, NOBODY, 3], [NOBODY, 0, 2]])
    assert torch.autograd.gradcheck(lambda x: loss(x, things), logits)


def test_true_logits_have_next_to_no_loss(artist, drawn):
    pool, pictures = drawn
    captions = step_captions(artist.things, pool, pictures, 4, 3, np.random.default_rng(2))
    there = pictures.things[:, :, None] == pool  # (pictures, roles, names)
    styles = np.zeros((len(pictures.styles), 3, len(STYLES)), bool)
    styles[np.arange(len(styles)), :, pictures.styles] = True
    own = np.zeros((len(styles), 4), bool)
    own[:4] = captions.matches > 0
    parts = [there.reshape(len(styles), -1), there.any(1), styles.reshape(len(styles), -1), own]
    logits = torch.from_numpy(1e3 * np.concatenate(parts, axis=1).astype(np.float32))
    losses = loss_parts(logits, pictures, captions, pool)
    count = torch.from_numpy((pictures.things != NOBODY).sum(1)).float()
    assert losses["name"].item() == 0
    assert losses["style"].item() == 0
    # Several true names share what a softmax has to give.
    for name in ("pair", "any"):
        assert losses[name].item() == pytest.approx(count.log().mean().item())


def test_captions_are_true_of_their_pictures(artist, drawn):
    pool, pictures = drawn
    captions = step_captions(artist.things, pool, pictures, 10, 2, np.random.default_rng(3))
    assert len(captions.pieces) == (len(ROLES) + 1) * len(pool) + 2 * len(STYLES)
    assert (captions.matches.diagonal() == 1).all()
    names = [{artist.things[i] for i in row if i != NOBODY} for row in pictures.things]
    for (text,), things in zip(captions.own, names, strict=True):
        assert any(thing.name in text or thing.plural in text for thing in things)


def test_token_book_says_what_the_tokenizer_says():
    book = TokenBook()
    cat = find_things(("mouse",))[0]
    pieces = [cut("many {plural}.", cat), cut("a {} on the left", cat)]
    texts = ["many mice.", "a mouse on the left"]
    tokens = book.tokens(pieces)
    assert torch.equal(tokens, book.tokenizer(texts)[:, : tokens.shape[1]])


@pytest.mark.long
def test_pictures_of_a_step_do_not_depend_on_the_processes():
    shares = {1: 0.5, 2: 0.2}
    one, two = (list(step_pictures(3, 130, 6, shares, workers)) for workers in (1, 2))
    for (pool, pictures), (other_pool, others) in zip(one, two, strict=True):
        assert np.array_equal(pool, other_pool)
        assert all(np.array_equal(a, b) for a, b in zip(pictures, others, strict=True))
    assert not np.array_equal(one[0][1].pixels, one[1][1].pixels)


@pytest.mark.long
def test_training_is_repeatable_goes_on_and_loads(tmp_path):
    shares = {step: SMALL.singles(step) for step in range(1, SMALL.steps + 1)}
    drawn = list(step_pictures(SMALL.seed, SMALL.batch_size, SMALL.names, shares, 1))
    once = replace(SMALL, eval_every=SMALL.steps)
    whole = list(train_small_clip(once, tmp_path / "whole", iter(drawn)))
    assert whole[-1]["step"] == SMALL.steps == 4
    assert {f"{role}/plain" for role in ROLES} <= set(whole[-1])
    stopped = train_small_clip(SMALL, tmp_path / "parts", iter(drawn))
    assert next(stopped)["step"] == 2
    stopped.close()
    assert (tmp_path / "parts" / SNAPSHOT).is_file()
    with pytest.raises(UserError, match=r"unfinished training with width 32, not 64"):
        next(train_small_clip(replace(SMALL, width=64), tmp_path / "parts"))
    rest = list(train_small_clip(SMALL, tmp_path / "parts", iter(drawn[2:])))
    assert [record["step"] for record in rest] == [4]
    assert not (tmp_path / "parts" / SNAPSHOT).exists()
    first, second = (
        load_file(tmp_path / name / "open_clip_model.safetensors") for name in ("whole", "parts")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    backbone = load_backbone(str(tmp_path / "parts"))
    assert backbone.text.shares_prefixes
    after = replace(SMALL, start=str(tmp_path / "whole"), pictures=6)
    assert len(list(train_small_clip(after, tmp_path / "after"))) == 1  # draws by itself


def test_every_weight_is_moved_by_one_optimiser():
    model = build_model(SMALL)
    for kind, count in (("muon", 2), ("adamw", 1)):
        found = optimizers([model], replace(SMALL, optimizer=kind))
        assert len(found) == count
        moved = [
            p for optimizer in found for group in optimizer.param_groups for p in group["params"]
        ]
        assert sorted(map(id, moved)) == sorted(map(id, model.parameters()))


def test_muon_needs_a_torch_that_has_it(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(UserError, match=r"muon needs torch 2\.9 or newer.*--optimizer adamw"):
        optimizers([build_model(SMALL)], SMALL)


def test_patches_after_the_last_block_are_what_the_features_come_from():
    model = build_model(SMALL)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features, patches = image_encoder(model, SMALL.layers, False)(images)
    assert patches.shape == (2, 64, SMALL.width)
    assert torch.allclose(features, model.encode_image(images))
    assert image_encoder(model, 0, False)(images)[1] is None


def test_accuracy_is_measured_on_the_same_unseen_scenes():
    model = build_model(SMALL).train()
    first, second = (role_accuracy(model, 2, styles=("dark",)) for _ in range(2))
    assert first == second
    assert model.training
    assert {(cell.role, cell.style) for cell in first} == set(itertools.product(ROLES, ["dark"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 100}, "multiple of 32; got 100"),
        ({"pictures": 0}, "pictures must be at least 1; got 0"),
        ({"names": 2}, "names must be at least 3; got 2"),  # a scene of three would never end
        ({"captions": 0}, "captions must be at least 1; got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be at least 0; got nan"),
        ({"warmup": 2.0}, "warmup must be from 0 to 1; got 2"),
        ({"precision": "fp16"}, "bf16 or fp32; got 'fp16'"),
        ({"places": "grid"}, "waves or random; got 'grid'"),
        ({"pooling": "max"}, "token or average; got 'max'"),
        ({"patch_block": 2}, "patch_block must be 0 to 1, the number of layers; got 2"),
        ({"optimizer": "sgd"}, "muon or adamw; got 'sgd'"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(UserError, match=message):
        replace(SMALL, **change)
