"""The conditional mixture beside its plain form: answers, losses, gradients and five steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mocoop.clip.text_tower import TextTower
from mocoop.model.build import build_model
from mocoop.model.image_shift import Pairs
from mocoop.model.mixture import predict
from mocoop.prompt_encoder.frozen_blocks import run_whole_blocks
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.optimizer import PromptOptimizer
from mocoop.training.step_losses import step_losses
from tests.parity.conditional import ConditionalMixture
from tests.parity.test_rivals import assert_close
from tests.support import method_cases as cases
from tests.support.deep_clip import deep_backbone

NAMES, SEEN = cases.NAMES, cases.NUM_SEEN
RATE, GATE_RATE = 0.05, 2.0
RANDOM = {"zero_shift": False}
CASES = {
    "from the start": {},
    "a vector from the start": RANDOM,
    "one expert": RANDOM | {"num_chosen": 1},
    "all experts": RANDOM | {"num_chosen": 3},
    "a network for each": RANDOM | {"shift_per_expert": True},
    "all names": RANDOM | {"text_classes": "all"},
    "without text loss": RANDOM | {"text_weight": 0.0},
    "deep tokens": RANDOM | {"text_depth": 3},
    "from block 1": RANDOM | {"text_depth": 3, "condition_from": 1},
    "from block 2": RANDOM | {"text_depth": 3, "condition_from": 2},
}


@pytest.fixture(scope="module")
def backbone():
    return deep_backbone()


def make(backbone, **changes):
    """Returns the library's model with its data and settings, and the plain form."""
    groups = cases.GROUPS
    if changes.get("text_depth", 1) > 1:  # every prompt needs a token to replace in later blocks
        groups = groups | {"sketch": ("a drawing of {}.",)}
    usual = {"groups": groups, "gate_rate": GATE_RATE, "clip_norm": 0.0}
    config = cases.settings("mocoop-cond", **(usual | changes))
    names = NAMES if config.text_classes == "all" else NAMES[:SEEN]
    model, data = cases.product(config, backbone, names, SEEN)
    plain = ConditionalMixture(
        backbone.model, backbone.tokenizer, names, SEEN, list(config.groups.values()),
        as_theirs(dict(model.named_parameters())), config.num_chosen,
        config.condition_from, config.shift_per_expert, config.text_weight,
    )  # fmt: skip
    return model, data, config, plain


def as_theirs(values):
    """Returns our tensors by the names of the plain form."""
    return {n.removeprefix("prompts.").removeprefix("shift."): v for n, v in values.items()}


def losses_of(model, data, config, backbone, features, labels):
    classes = ClassTokens.from_names(backbone.text.tokens, data.class_names)
    return step_losses(model, backbone.text, classes, features, labels, data, config)[0]


@pytest.mark.parametrize("case", CASES)
def test_losses_gradients_and_steps_are_equal(backbone, case):
    """Every loss, every gradient and every weight, in each of five steps.

    Each step starts from the library's weights, so that rounding errors do not add up.
    """
    model, data, config, plain = make(backbone, **CASES[case])
    learned = plain.learned
    share = {name: GATE_RATE if name.startswith("gate.") else 1.0 for name in learned}
    groups = [{"params": [learned[name]], "lr": RATE * share[name]} for name in learned]
    sgd = torch.optim.SGD(groups, RATE, momentum=0.9, weight_decay=5e-4)
    stepper = PromptOptimizer(model, config)
    stepper.set_rate(RATE)
    for number in range(5):
        features = cases.features_of(6, seed=number)
        labels = (torch.arange(6) + number) % SEEN
        losses = losses_of(model, data, config, backbone, features, labels)
        stepper.step(losses, 1, number)
        expected = plain.losses(features, labels)
        assert set(losses) == set(expected)
        for name, loss in losses.items():
            assert_close(loss.detach(), expected[name].detach(), name)
        gradients = torch.autograd.grad(
            expected["total"], learned.values(), materialize_grads=True
        )
        largest = max(float(gradient.abs().max()) for gradient in gradients if gradient.numel())
        applied = as_theirs({n: p.grad for n, p in model.named_parameters()})
        assert set(applied) == set(learned)
        for name, gradient in zip(learned, gradients, strict=True):
            if learned[name].numel():
                what = f"step {number}, gradient of {name}"
                # A bias is one number: a sum with signs, in an order of the processor.
                assert_close(applied[name], gradient, what, largest, close=3e-5)
            learned[name].grad = gradient
        sgd.step()
        after = as_theirs({n: p.detach() for n, p in model.named_parameters()})
        for name, value in learned.items():
            if value.numel():
                assert_close(after[name], value.detach(), f"step {number}, {name}")
            value.data.copy_(after[name])


@pytest.mark.parametrize("case", ["a vector from the start", "one expert", "from block 2"])
def test_answers_are_those_of_each_image_alone(backbone, case):
    """Logits, scores and weights; an expert that is not chosen answers by its own context."""
    model, _, _, plain = make(backbone, **CASES[case])
    classes = ClassTokens.from_names(backbone.text.tokens, NAMES[:SEEN])
    features = cases.features_of(7)
    found = predict(model, backbone.text, classes, features)
    with torch.no_grad():
        logits, scores, weights = plain.answers(features)
    assert_close(found.logits, logits, "logits")
    assert_close(found.scores, scores, "scores")
    assert_close(found.weights, weights, "weights")
    for expert in range(3):
        texts = torch.stack([plain.text(expert, name) for name in NAMES[:SEEN]]).detach()
        unchanged = plain.scale * features @ texts.T
        others = weights[:, expert] == 0
        if others.any():
            assert_close(found.expert_logits[others, expert], unchanged[others], "not chosen")
        if (~others).any():
            own = found.expert_logits[~others, expert] - unchanged[~others]
            assert own.abs().max() > 1e-3
    everyone = predict(model, backbone.text, classes, features, everyone=True)
    assert torch.equal(everyone.weights, torch.full((7, 3), 1 / 3))
    for expert in range(3):
        with torch.no_grad():
            rows = [
                torch.stack([plain.text(expert, name, plain.shift(expert, feature))
                             for name in NAMES[:SEEN]]) @ feature
                for feature in features
            ]  # fmt: skip
        assert_close(everyone.expert_logits[:, expert], plain.scale * torch.stack(rows), "alone")


def test_a_batch_in_parts_gives_the_same(backbone):
    """More images than are encoded together."""
    model, *_ = make(backbone, **RANDOM)
    classes = ClassTokens.from_names(backbone.text.tokens, NAMES)
    features = cases.features_of(71)
    together = predict(model, backbone.text, classes, features)
    for row in (0, 31, 32, 70):
        alone = predict(model, backbone.text, classes, features[row : row + 1])
        torch.testing.assert_close(together.logits[row], alone.logits[0], rtol=1e-5, atol=1e-5)


def test_router_and_network_see_the_frozen_tower(backbone):
    """With learned tokens in the image tower the prompts alone meet the tuned feature."""
    model, _, _, plain = make(backbone, **RANDOM)
    classes = ClassTokens.from_names(backbone.text.tokens, NAMES[:SEEN])
    tuned, frozen = cases.features_of(5, seed=1), cases.features_of(5, seed=2)
    found = predict(model, backbone.text, classes, torch.cat([tuned, frozen], dim=-1))
    with torch.no_grad():
        logits, scores, weights = plain.answers(frozen, tuned)
    assert_close(found.logits, logits, "logits")
    assert_close(found.scores, scores, "scores")
    assert_close(found.weights, weights, "weights")


@pytest.mark.parametrize("depth", [1, 3])
def test_at_the_start_it_is_the_static_mixture(backbone, depth):
    """With a vector of zeros logits, losses and the prompts' gradients are MoCoOp's."""
    model, data, config, _ = make(backbone, text_depth=depth)
    still = replace(config, conditional=False)
    generator = torch.Generator().manual_seed(config.seed)
    static = build_model(still, backbone, config.groups, generator, SEEN)
    features, labels = cases.features_of(6), torch.arange(6) % SEEN
    losses = losses_of(model, data, config, backbone, features, labels)
    expected = losses_of(static, data, still, backbone, features, labels)
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name], rtol=1e-6, atol=1e-6)
    own = {n: p for n, p in model.named_parameters() if not n.startswith("shift.")}
    other = dict(static.named_parameters())
    assert set(own) == set(other)
    found = torch.autograd.grad(losses["total"], own.values())
    wanted = torch.autograd.grad(expected["total"], other.values())
    largest = max(float(gradient.abs().max()) for gradient in wanted if gradient.numel())
    for name, one, two in zip(own, found, wanted, strict=True):
        if one.numel():
            assert_close(one, two, name, largest)


def test_who_learns_from_which_loss(backbone):
    """Contexts that no image chose learn from the text loss alone; the network from the labels."""
    model, data, config, _ = make(backbone, **RANDOM, num_chosen=1)
    with torch.no_grad():
        model.gate.weight.zero_()
        model.gate.bias.copy_(torch.tensor([0.0, 5.0, 0.0]))  # all images choose expert 1
    features, labels = cases.features_of(6), torch.arange(6) % SEEN
    losses = losses_of(model, data, config, backbone, features, labels)

    def gradients(loss):
        named = dict(model.named_parameters())
        found = torch.autograd.grad(
            losses[loss], named.values(), retain_graph=True, materialize_grads=True
        )
        return dict(zip(named, found, strict=True))

    total, by_text = gradients("total"), gradients("text")
    for name in ("prompts.before.0", "prompts.after.2"):
        assert_close(total[name], config.text_weight * by_text[name], name)
        assert by_text[name].abs().max() > 0
    by_labels, by_gate = gradients("classification"), gradients("gate")
    for name in ("prompts.before.0", "prompts.after.2"):
        assert by_labels[name].abs().max() == 0
    for name in ("shift.expand.weight", "shift.squeeze.weight"):
        assert by_labels[name].abs().max() > 0
        assert by_text[name].abs().max() == by_gate[name].abs().max() == 0


@pytest.mark.parametrize("first", [0, 1, 2])
def test_chunks_and_memory_do_not_change_a_step(backbone, first):
    """Encoded in small chunks and twice, the same losses and gradients."""
    changes = {"text_depth": 3, "condition_from": first}
    model, data, config, _ = make(backbone, **RANDOM | changes)
    features, labels = cases.features_of(6), torch.arange(6) % SEEN
    small = replace(backbone.text, memory=0, chunk_rows=20)
    classes = ClassTokens.from_names(backbone.text.tokens, data.class_names)
    found = []
    for tower in (backbone.text, small):
        losses, _ = step_losses(model, tower, classes, features, labels, data, config)
        total = losses["total"]
        learned = [p for p in model.parameters() if p.numel()]
        found.append([total.detach(), *torch.autograd.grad(total, learned)])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("first", [1, 2])
def test_blocks_below_run_once(backbone, monkeypatch, first):
    """Features and gradients are those of encoding every image's prompts from the start."""
    changes = {"text_depth": 3, "condition_from": first, "learned_tokens": 1}
    model, data, _, _ = make(backbone, **RANDOM | changes)
    tower = replace(backbone.text, chunk_rows=40)  # several chunks, of other classes in each
    classes = ClassTokens.from_names(tower.tokens, data.class_names)
    features = cases.features_of(6)
    pairs = Pairs.chosen(model.gate(features), 2)
    ran = []
    monkeypatch.setattr(
        "mocoop.prompt_encoder.shared_blocks.run_whole_blocks",
        lambda rows, *args: ran.append(len(rows)) or run_whole_blocks(rows, *args),
    )
    found = model.pair_features(tower, classes, features, pairs)
    layout = model.prompts.pack_expert(tower, classes, 0).layout
    assert sum(ran) < 3 * 1.5 * sum(len(prompt) for prompt in layout.prompts)
    monkeypatch.setattr(TextTower, "shares_prefixes", False)
    expected = model.pair_features(tower, classes, features, pairs)
    assert_close(found.detach(), expected.detach(), "features")
    pull = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    learned = [p for p in model.parameters() if p.numel()]
    one, two = (
        torch.autograd.grad((x * pull).sum(), learned, materialize_grads=True)
        for x in (found, expected)
    )
    for got, wanted in zip(one, two, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)
