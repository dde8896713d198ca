"""DPL beside its plain form: the search with its alphas and the training, in five steps each."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mocoop.errors import UserError
from mocoop.model.build import build_model
from mocoop.model.key_prompts import ChosenLengths, KeyPrompts, key_tokens_of, with_saved_lengths
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.length_search import (
    SearchOptimizer,
    SearchResult,
    alphas_of,
    check_held_out,
)
from mocoop.training.optimizer import PromptOptimizer
from mocoop.training.step_losses import step_losses
from tests.parity import dpl, rivals
from tests.parity.test_rivals import CLOSE, NAMES, assert_close, settings
from tests.parity.test_towers import base_size
from tests.support.deep_clip import DEPTH, deep_backbone
from tests.support.method_cases import product

LATER = 3 * CLOSE  # after the first step: rounding errors of the steps before add up
DEPTHS = {"vision_depth": DEPTH, "text_depth": DEPTH}
LENGTHS = {"vision_lengths": (2, 0, 5), "text_lengths": (0, 3, 1)}


def batch(number):
    pictures = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(number))
    return pictures, (torch.arange(4) + number) % len(NAMES)


def parts_of(backbone, model):
    vision, text = model.vision.values, model.prompts.keys.values
    return backbone.model, backbone.tokenizer, NAMES, vision, text


def losses_of(model, backbone, data, config, pictures, labels):
    classes = ClassTokens.from_names(backbone.text.tokens, NAMES)
    features = model.image_features(backbone.model.visual, pictures)
    return step_losses(model, backbone.text, classes, features, labels, data, config)[0]


def named(model):
    """Returns the parameters that have an effect: a block may have no tokens."""
    return {n: p for n, p in model.named_parameters() if p.requires_grad and p.numel()}


def compare(own, values, gradients, close, what):
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, value in values.items():
        assert_close(own[name].grad, gradients[name], f"{what}, {name}: gradient", largest, close)
        assert_close(own[name].detach(), value.detach(), f"{what}, {name}", close=close)


def test_search_is_equal():
    """Losses, gradients and values of alphas and candidates, against the sum of 7 attentions."""
    backbone = deep_backbone()
    config = settings("dpl", **DEPTHS)
    model, data = product(config, backbone, NAMES, len(NAMES))
    rival = dpl.Search(
        *parts_of(backbone, model),
        longest=6,
        alphas={n: p for n, p in model.named_parameters() if n.endswith("alphas")},
    )
    stepper = SearchOptimizer(model, config)
    sgd = torch.optim.SGD(rival.learned.values(), 0.1, momentum=0.9, weight_decay=5e-4)
    adam = torch.optim.Adam(rival.alphas.values(), rival.alpha_rate, rival.betas)
    rates = rivals.schedule(rival.rate, rival.epochs, rival.warmup_epochs)
    for number, epoch in enumerate((1, 2, 3, 40, 80)):
        close, own = LATER if number else CLOSE, named(model)
        stepper.prompts.set_epoch(epoch)
        sgd.param_groups[0]["lr"] = rates[epoch - 1]
        held_out, seen = batch(100 + number), batch(number)
        ours = losses_of(model, backbone, data, config, *held_out)["classification"]
        theirs = rival.loss(*held_out)
        assert_close(ours.detach(), theirs.detach(), "validation loss", close=close)
        stepper.step_alphas(ours, epoch, number)
        step(adam, rival.alphas, theirs)
        found = {name: value.grad for name, value in rival.alphas.items()}
        compare(own, rival.alphas, found, close, f"step {number}")
        ours, theirs = losses_of(model, backbone, data, config, *seen), rival.loss(*seen)
        assert_close(ours["total"].detach(), theirs.detach(), "loss", close=close)
        stepper.prompts.step(ours, epoch, number)
        step(sgd, rival.learned, theirs)
        found = {name: value.grad for name, value in rival.learned.items()}
        compare(own, rival.learned, found, close, f"step {number}")


def test_training_is_equal():
    """With another number of tokens in every block, and none in some."""
    backbone = deep_backbone()
    config = settings("dpl", **DEPTHS, **LENGTHS)
    assert not config.searches_lengths
    model, data = product(config, backbone, NAMES, len(NAMES))
    rival = dpl.Tokens(*parts_of(backbone, model))
    learned = {name: value for name, value in rival.learned.items() if len(value)}
    assert set(learned) == set(named(model))
    sgd = torch.optim.SGD(learned.values(), 0.1, momentum=0.9, weight_decay=5e-4)
    rates = rivals.schedule(rival.rate, rival.epochs, rival.warmup_epochs)
    stepper = PromptOptimizer(model, config)
    assert (config.epochs, config.batch_size, config.clip_norm) == (rival.epochs, 4, 0.0)
    for number, epoch in enumerate((1, 2, 3, 20, 40)):
        close = LATER if number else CLOSE
        stepper.set_epoch(epoch)
        sgd.param_groups[0]["lr"] = rates[epoch - 1]
        ours = losses_of(model, backbone, data, config, *batch(number))
        theirs = rival.loss(*batch(number))
        assert_close(ours["total"].detach(), theirs.detach(), "loss", close=close)
        stepper.step(ours, epoch, number)
        step(sgd, learned, theirs)
        found = {name: value.grad for name, value in learned.items()}
        compare(named(model), learned, found, close, f"step {number}")


def step(optimizer, learned, loss):
    gradients = torch.autograd.grad(loss, learned.values())
    for value, gradient in zip(learned.values(), gradients, strict=True):
        value.grad = gradient
    optimizer.step()


def test_numbers_at_the_size_of_vit_b_16():
    """The candidates' tokens and the alphas of the authors' configuration."""
    backbone = deep_backbone(**base_size())
    model = build_model(
        config := settings("dpl"), backbone, config.groups, torch.Generator().manual_seed(1)
    )
    alphas = sum(value.numel() for value in alphas_of(model).values())
    tokens = sum(value.numel() for value in named(model).values()) - alphas
    assert (tokens, alphas) == (322_560, 168)


def test_the_seed_draws_the_alphas_and_the_largest_weight_wins():
    draw = lambda seed: KeyPrompts((3, 3), 8, torch.Generator().manual_seed(seed), search=True)
    assert torch.equal(draw(1).alphas, draw(1).alphas)
    assert not torch.equal(draw(1).alphas, draw(2).alphas)
    assert float(draw(1).alphas.detach().abs().max()) < 0.01
    chosen = ChosenLengths.from_alphas(torch.tensor([[0.0, 0.0, 2.0], [1.0, 0.0, 0.0]]))
    assert chosen.lengths == (2, 0)
    shares = torch.tensor([0.0, 0.0, 2.0]).softmax(dim=0)
    assert chosen.margins[0] == pytest.approx(float(shares[2] - shares[0]))
    result = SearchResult({"vision": chosen})
    assert SearchResult.from_json(result.to_json()) == result


def test_each_tower_gets_its_own_lengths():
    """The released program saves them under swapped names."""
    backbone = deep_backbone()
    config = settings("dpl", **DEPTHS)
    model, _ = product(config, backbone, NAMES, len(NAMES))
    with torch.no_grad():
        model.vision.alphas[:, 1] += 5.0
        model.prompts.keys.alphas[:, 4] += 5.0
    chosen = SearchResult.from_model(model).settings(config)
    assert (chosen.vision_lengths, chosen.text_lengths) == ((1, 1, 1), (4, 4, 4))
    trained, _ = product(chosen, backbone, NAMES, len(NAMES))
    saved = trained.state_dict()
    assert key_tokens_of(saved, "vision.").counts == (1, 1, 1)
    assert with_saved_lengths(config, saved) == chosen
    with torch.no_grad():
        model.vision.alphas[:, 0] += 9.0
        model.prompts.keys.alphas[:, 0] += 9.0
    with pytest.raises(UserError, match="chose no learned tokens in any block"):
        SearchResult.from_model(model)


@pytest.mark.parametrize(
    ("method", "changes", "names"),
    [
        ("cocoop", {}, ["shift."]),
        ("coop", {"text_depth": 2}, ["prompts.deep.0"]),
        ("coop", {"correction": True}, ["correction"]),
        ("mocoop", {"correction": False}, ["gate."]),
        ("coop", {"learn_context": True}, ["prompts.before.0"]),
        ("coop", {}, []),
    ],
    ids=str,
)
def test_a_choice_of_no_tokens_leaves_all_else_to_learn(method, changes, names):
    searching = {"vision_depth": 2, "vision_insertion": "keys", "length_epochs": 1}
    start = {"image_cache": False, "learn_context": False} | searching
    config = settings(method, **(start | changes))
    model, _ = product(config, deep_backbone(), NAMES, len(NAMES))
    with torch.no_grad():
        model.vision.alphas[:, 0] += 9.0
    learned = [name for name in named(model) if not name.startswith("vision.")]
    assert all(any(name.startswith(part) for name in learned) for part in names)
    if names:
        assert SearchResult.from_model(model).settings(config).vision_lengths == (0, 0)
        return
    with pytest.raises(UserError, match="chose no learned tokens in any block"):
        SearchResult.from_model(model)


def test_a_search_needs_images_that_it_may_learn_from():
    config = settings("dpl", **DEPTHS)
    held = replace(config, length_images="train")
    check_held_out(config, [0, 1], 1, False)
    check_held_out(held, [0, 1, 0, 1], 0, True)
    check_held_out(replace(config, **LENGTHS), [0, 1], 0, True)
    with pytest.raises(UserError, match=r"and there are none.*length_images train"):
        check_held_out(config, [0, 0], 0, False)
    with pytest.raises(UserError, match=r"are its test images.*length_images train"):
        check_held_out(config, [0, 0], 4, True)
    with pytest.raises(UserError, match=r"every class has only one\. Use 2 shots"):
        check_held_out(held, [0, 1], 4, False)
