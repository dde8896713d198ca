"""The model: its parts, the mixture, and what training may change."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mocoop.errors import UserError
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import expert_groups, group_prototypes, hard_features
from mocoop.model.losses import classification_loss, gating_loss, text_supervision_loss
from mocoop.model.mixed_logits import mix
from mocoop.model.router import guide_scores, guide_target
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.templates import fill, load_templates
from tests.support import reference

NAMES = ("cat", "fleur de lis", "itap of a", "old house")
TEMPLATES = load_templates("photos")


def random_features(count, dim, seed=0):
    """Returns normalised random features (count, dim)."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=generator), dim=-1)


def new_model(backbone, method="mocoop", seed=1):
    """Returns a preset's untrained model and its groups."""
    config = preset(method)
    groups = expert_groups(config, TEMPLATES)
    generator = torch.Generator().manual_seed(seed)
    return build_model(config, backbone, groups, generator), groups


def total_loss(model, tower, classes, prototypes, features, labels):
    """Returns the sum of the three losses for a batch."""
    soft = model.text_features(tower, classes)
    mixture = model(features, soft)
    target = guide_target(guide_scores(features, prototypes, labels), model.num_chosen)
    return (
        classification_loss(mixture.logits, labels)
        + 5 * text_supervision_loss(soft, prototypes, 1.0)
        + gating_loss(mixture.scores, target)
    )


def test_zero_shot_is_the_plain_template(tiny_backbone):
    """The zero-shot preset classifies with open_clip's features of the one template."""
    model, _ = new_model(tiny_backbone, "zero-shot")
    tower = tiny_backbone.text
    soft = model.text_features(tower, ClassTokens.from_names(tower.tokens, NAMES))
    texts = tiny_backbone.tokenizer([fill(TEMPLATES.zero_shot, name) for name in NAMES])
    expected = F.normalize(tiny_backbone.model.encode_text(texts), dim=-1)
    torch.testing.assert_close(soft[0], expected, rtol=1e-4, atol=1e-5)
    features = random_features(5, 16)
    logits = tiny_backbone.logit_scale * features @ expected.T
    torch.testing.assert_close(model(features, soft).logits, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("num_chosen", [1, 2, 5])
def test_mixture_equals_the_loops(num_chosen):
    """The weighted experts' logits are those of the mixed text feature, with its gradient."""
    features = random_features(6, 16)
    soft = random_features(5 * 3, 16, seed=1).view(5, 3, 16)
    torch.manual_seed(2)
    gate = nn.Linear(16, 5)
    soft.requires_grad_()
    got = mix(features, soft, gate, 14.3, num_chosen)
    expected = reference.mixture_logits(features, soft, gate, 14.3, num_chosen)
    torch.testing.assert_close(got.logits, expected, rtol=1e-5, atol=1e-5)
    assert got.logits.shape == (6, 3)
    assert got.expert_logits.shape == (6, 5, 3)
    torch.testing.assert_close(got.weights, reference.top_weights(got.scores, num_chosen))
    inputs = [soft, gate.weight, gate.bias]
    pull = torch.randn(6, 3, generator=torch.Generator().manual_seed(3))
    fast = torch.autograd.grad((got.logits * pull).sum(), inputs)
    slow = torch.autograd.grad((expected * pull).sum(), inputs)
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_single_expert_needs_no_gate():
    """Without a gate every image has weight one for the one expert."""
    features, soft = random_features(4, 16), random_features(3, 16, seed=1).view(1, 3, 16)
    got = mix(features, soft, None, 10.0, 1)
    torch.testing.assert_close(got.weights, torch.ones(4, 1))
    torch.testing.assert_close(got.logits, 10.0 * features @ soft[0].T)


def test_steps_change_what_is_learnt_and_nothing_else(tiny_backbone):
    """After some steps the backbone is equal bit by bit, and every learnt tensor differs."""
    tower = tiny_backbone.text
    model, groups = new_model(tiny_backbone)
    classes = ClassTokens.from_names(tower.tokens, NAMES)
    prototypes = group_prototypes(hard_features(tower, groups, NAMES))
    frozen = {k: v.clone() for k, v in tiny_backbone.model.state_dict().items()}
    learnt = {k: v.detach().clone() for k, v in model.named_parameters()}
    assert {k.split(".")[0] for k in learnt} == {"prompts", "gate", "correction"}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    losses = []
    for _ in range(8):
        features, labels = random_features(8, 16), torch.arange(8) % len(NAMES)
        loss = total_loss(model, tower, classes, prototypes, features, labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    for name, value in tiny_backbone.model.state_dict().items():
        assert torch.equal(value, frozen[name]), name
    assert all(p.grad is None for p in tiny_backbone.model.parameters())
    for name, parameter in model.named_parameters():
        assert not torch.equal(parameter, learnt[name]), name


def test_tokens_after_the_name_can_stay(tiny_backbone):
    """With learn_after off the tokens after the name are parameters that no step changes."""
    tower = tiny_backbone.text
    model, _ = new_model(tiny_backbone, "coop")
    kept = [block.detach().clone() for block in model.prompts.after]
    assert [len(block) for block in kept] == [1]
    soft = model.text_features(tower, ClassTokens.from_names(tower.tokens, NAMES))
    loss = classification_loss(model(random_features(4, 16), soft).logits, torch.arange(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    loss.backward()
    optimizer.step()
    assert model.prompts.after[0].grad is None
    assert torch.equal(model.prompts.after[0], kept[0])
    assert model.prompts.before[0].grad.abs().sum() > 0


def test_gate_depends_on_the_generator_alone(tiny_backbone):
    """The gate's first weights come from the generator, whatever the global seed."""
    torch.manual_seed(0)
    one, _ = new_model(tiny_backbone, seed=1)
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    same, _ = new_model(tiny_backbone, seed=1)
    assert torch.equal(state, torch.random.get_rng_state())
    other, _ = new_model(tiny_backbone, seed=2)
    for name in ("weight", "bias"):
        first = getattr(one.gate, name)
        assert torch.equal(first, getattr(same.gate, name))
        assert not torch.equal(first, getattr(other.gate, name))
        assert first.abs().max() <= 16**-0.5
        assert first.abs().max() > 0.5 * 16**-0.5


def test_presets_differ_in_their_parts(tiny_backbone):
    """The mixture has a gate and a correction that starts at zero; CoOp has neither."""
    mixture, groups = new_model(tiny_backbone)
    assert mixture.gate.weight.shape == (len(groups), 16)
    assert torch.equal(mixture.correction, torch.zeros(16))
    assert len(mixture.prompts.before) == len(groups) == 6
    coop, groups = new_model(tiny_backbone, "coop")
    assert groups == {"prompt": (TEMPLATES.zero_shot,)}
    assert coop.gate is None
    assert coop.correction is None


def test_correction_moves_every_feature(tiny_backbone):
    """The correction is added before the features are normalised."""
    tower = tiny_backbone.text
    model, _ = new_model(tiny_backbone)
    classes = ClassTokens.from_names(tower.tokens, NAMES)
    correction = random_features(1, 16, seed=5)[0]
    with torch.no_grad():
        raw = model.prompts(tower, classes)
        model.correction.copy_(correction)
        got = model.text_features(tower, classes)
    torch.testing.assert_close(got, F.normalize(raw + correction, dim=-1))


def test_prototypes_are_normalised_means(tiny_backbone):
    """Hard features and prototypes equal a loop over templates and classes."""
    tower, clip, tokenizer = tiny_backbone.text, tiny_backbone.model, tiny_backbone.tokenizer
    groups = {"one": ("a {}.",), "two": ("the {}.", "a photo of a {}.", "art of a {}.")}
    hard = hard_features(tower, groups, NAMES)
    assert [tuple(part.shape) for part in hard] == [(1, 4, 16), (3, 4, 16)]
    prototypes = group_prototypes(hard)
    for g, templates in enumerate(groups.values()):
        for c, name in enumerate(NAMES):
            texts = [clip.encode_text(tokenizer([fill(t, name)]))[0] for t in templates]
            own = torch.stack([text / text.norm() for text in texts])
            torch.testing.assert_close(hard[g][:, c], own, rtol=1e-4, atol=1e-5)
            mean = own.mean(dim=0)
            expected = mean / mean.norm()
            torch.testing.assert_close(prototypes[g, c], expected, rtol=1e-4, atol=1e-5)


def test_too_many_experts_chosen(tiny_backbone, generator):
    """The router cannot choose more experts than there are."""
    with pytest.raises(UserError, match="num_chosen is 2, but there are only 1 experts"):
        build_model(preset("mocoop"), tiny_backbone, {"one": ("a {}.",)}, generator)


def test_where_a_soft_prompt_starts_apart_from_its_hard_prompt(tiny_backbone):
    """Only a name that is read together with words after it, and only where those learn."""
    names = ["St.", "cat (small)", "cat"]
    groups = {"one": ("a photo of a {}.",), "two": ("art of the {}",)}
    classes = ClassTokens.from_names(tiny_backbone.text.tokens, names)
    hard = torch.cat(hard_features(tiny_backbone.text, groups, names))
    for learn_after in (True, False):
        config = replace(preset("mocoop"), learn_after=learn_after)
        model = build_model(config, tiny_backbone, groups, torch.Generator().manual_seed(0))
        soft = model.text_features(tiny_backbone.text, classes)
        apart = (soft - hard).norm(dim=-1) > 1e-3
        assert apart.tolist() == [[learn_after, learn_after, False], [False] * 3]
        torch.testing.assert_close(soft[~apart], hard[~apart])
