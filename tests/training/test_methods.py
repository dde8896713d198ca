"""Every trained method beside its plain reference: losses, gradients and steps are equal."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from mocoop.classifiers.prompts import learned_state
from mocoop.classifiers.saved import restore_model
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.model.build import build_model
from mocoop.model.image_shift import Pairs
from mocoop.model.mixture import IMAGES_AT_ONCE, predict
from mocoop.model.vision_prompts import tuned_backbone
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.runs.run import RunSetup
from mocoop.training.optimizer import learning_rate
from tests.support import method_cases as cases
from tests.support.reference_training import plain_rate

# Tokens in the image tower are compared in tests/parity/test_towers.py and test_promptsrc.py;
# mixtures whose contexts see the image in test_conditional_mixture.py there.
TRAINED = tuple(
    key
    for key, method in METHODS.items()
    if method.learns_prompts
    and preset(key).vision_depth + preset(key).lora_rank == 0
    and not (method.is_mixture and preset(key).conditional)
)
RANDOM = {"context_init": "random", "context_tokens": 5, "learning_rate": 0.02}
MIDDLE, FRONT = {"name_position": "middle"}, {"name_position": "front"}
CASES = {method: (method, {}) for method in TRAINED} | {
    # Near the start the two predictions agree but for rounding, which the projection magnifies.
    "prograd": ("prograd", {"warmup_epochs": 0}),
    "prograd: λ and temperature": (
        "prograd",
        {"warmup_epochs": 0, "align_weight": 0.8, "align_temperature": 2.0},
    ),
    "prograd: words of its own": ("prograd", {"context_init": "words", "context_words": "one"}),
    "coop: a context per class": ("coop", {"class_context": True}),
    "coop: words": ("coop", {"context_init": "words"}),
    "coop: words around the name": ("coop", {"context_init": "words"} | MIDDLE),
    "coop: random": ("coop", RANDOM),
    "coop: random around the name": ("coop", RANDOM | MIDDLE),
    "coop: words behind the name": ("coop", {"context_init": "words"} | FRONT),
    "coop: random behind the name, a context per class": (
        "coop",
        RANDOM | FRONT | {"class_context": True},
    ),
    "coop: all of it": ("coop", RANDOM | MIDDLE | {"class_context": True}),
    "coop: tokens after the name": ("coop", {"learn_after": True}),
    "cocoop: random around the name": ("cocoop", RANDOM | MIDDLE),
    "cocoop: words behind the name": ("cocoop", {"context_init": "words"} | FRONT),
    "cocoop: tokens after the name": ("cocoop", {"learn_after": True}),
    "lasp: temperature one": ("lasp", {"text_scale": "one"}),
    "lasp: softmax over the soft prompts": ("lasp", {"text_softmax": "soft"}),
    "mocoop: K = 1": ("mocoop", {"num_chosen": 1}),
    "mocoop: K = all": ("mocoop", {"num_chosen": 3}),
    "mocoop: scaled guide": ("mocoop", {"gate_target": "scaled"}),
    "mocoop: soft guide": ("mocoop", {"gate_target": "soft"}),
    "mocoop: temperature one": ("mocoop", {"text_scale": "one"}),
    "mocoop: all names": ("mocoop", {"text_classes": "all"}),
    "mocoop: no clipping": ("mocoop", {"clip_norm": 0.0, "learning_rate": 0.02}),
    "mocoop: router at the prompts' rate": ("mocoop", {"gate_rate": 1.0}),
    "mocoop: random, a context per class": ("mocoop", RANDOM | {"class_context": True}),
    "mocoop-ln: LayerNorms at the prompts' rate": ("mocoop-ln", {"layer_norm_rate": 1.0}),
}
FEW = ("coop: all of it", "cocoop", "lasp-v", "mocoop", "mocoop-ln")


def make(case, backbone):
    """Returns the library's model and the reference of a case."""
    method, changes = CASES[case]
    return cases.make_pair(cases.settings(method, **changes), backbone)


def train(pair, each_step=lambda losses, pictures, labels, rate: None):
    """Trains the library's model; `each_step` is called after every step."""
    config = pair.config
    for epoch in range(1, config.epochs + 1):
        rate = learning_rate(epoch, config)
        pair.stepper.set_rate(rate)
        for number in (1, 2):
            pictures, labels = cases.batch_of(10 * epoch + number)
            losses = pair.losses(pictures, labels)
            pair.stepper.step(losses, epoch, number)
            each_step(losses, pictures, labels, rate)


@pytest.mark.parametrize("case", CASES)
def test_training_equals_the_reference(tiny_backbone, case):
    """Every term, gradient and weight of eight steps, and the learning rates."""
    pair = make(case, tiny_backbone)
    config = pair.config
    rates = []
    assert sorted(pair.sgd.learnt) == sorted(cases.plain_name(name) for name, *_ in pair.learnt())

    def compare(losses, pictures, labels, rate):
        expected = pair.plain_losses(pictures, labels)
        assert losses.keys() == expected.keys()
        for name, loss in losses.items():
            torch.testing.assert_close(loss, expected[name], rtol=1e-5, atol=1e-5)
        gradients = pair.sgd.step(pair.plain_gradients(expected), rate)
        for name, value, plain in pair.learnt():
            gradient = gradients[cases.plain_name(name)].view_as(value)
            torch.testing.assert_close(value.grad, gradient, rtol=1e-4, atol=3e-5, msg=name)
            torch.testing.assert_close(value, plain.view_as(value), rtol=1e-4, atol=1e-5, msg=name)
        rates.append(rate)

    train(pair, compare)
    warm = (config.epochs, config.learning_rate, config.warmup_epochs, config.warmup_rate)
    assert rates[::2] == pytest.approx([plain_rate(epoch, *warm) for epoch in (1, 2, 3, 4)])


@pytest.mark.parametrize("case", CASES)
def test_training_moves_what_is_learnt_and_nothing_else(tiny_backbone, case):
    """Every learnt tensor differs afterwards; the backbone and fixed tokens are bit-equal."""
    pair = make(case, tiny_backbone)
    frozen = {name: value.clone() for name, value in tiny_backbone.model.state_dict().items()}
    before = {name: value.detach().clone() for name, value in pair.model.named_parameters()}
    tails = {name: value.clone() for name, value in pair.model.named_buffers()}
    train(pair)
    for name, value in tiny_backbone.model.state_dict().items():
        assert torch.equal(value, frozen[name]), name
    for name, value in pair.model.named_buffers():
        assert torch.equal(value, tails[name]), name
    assert all(value.grad is None for value in tiny_backbone.model.parameters())
    for name, value in pair.model.named_parameters():
        moved = (value != before[name]).any() if value.numel() else value.requires_grad
        assert moved == value.requires_grad, name


def test_prograd_turns_some_steps_and_keeps_others(tiny_backbone):
    """The steps compared above include both kinds, and not the first, which has no direction."""
    pair = make("prograd", tiny_backbone)
    turned = []

    def note(losses, pictures, labels, rate):
        plain = pair.plain_losses(pictures, labels)
        own = torch.autograd.grad(plain["total"], [*pair.plain.learnt.values()], retain_graph=True)
        gradients = pair.plain_gradients(plain)
        turned.append(not torch.equal(own[0], gradients["before.0"]))
        pair.sgd.step(gradients, rate)

    train(pair, note)
    assert not turned[0]
    assert 0 < sum(turned) < len(turned)


def test_layer_norms_are_those_of_the_blocks(tiny_backbone):
    """`ln_1` and `ln_2` of every block are learnt, and no other LayerNorm of the tower."""
    pair = make("mocoop-ln", tiny_backbone)
    visual = tiny_backbone.model.visual
    expected = {
        f"transformer.resblocks.{index}.{norm}.{part}"
        for index in range(len(visual.transformer.resblocks))
        for norm in ("ln_1", "ln_2")
        for part in ("weight", "bias")
    }
    found = pair.model.norms.by_name()
    assert set(found) == expected
    assert {"ln_pre.weight", "ln_post.weight"} <= {name for name, _ in visual.named_parameters()}
    for name, value in found.items():
        assert torch.equal(value, visual.get_parameter(name))
        assert value.data_ptr() != visual.get_parameter(name).data_ptr()


def test_tuned_layer_norms_at_test_time(tiny_backbone):
    """A backbone with a run's LayerNorms sees images as a copy of the tower with them does."""
    pair = make("mocoop-ln: LayerNorms at the prompts' rate", tiny_backbone)
    train(pair)
    tuned = tuned_backbone(tiny_backbone, pair.config, learned_state(pair.model))
    tower = copy.deepcopy(tiny_backbone.model.visual)
    tower.load_state_dict(tower.state_dict() | pair.model.norms.by_name())
    pictures, _ = cases.batch_of(99)
    got = tuned.image_features(pictures)
    expected = torch.nn.functional.normalize(tower(pictures), dim=-1)
    torch.testing.assert_close(got, expected)
    again = pair.model.image_features(tiny_backbone.model.visual, pictures)
    torch.testing.assert_close(got, again)
    assert (got - tiny_backbone.image_features(pictures)).abs().max() > 1e-3
    assert tuned.fingerprint != tiny_backbone.fingerprint
    assert tuned.text is tiny_backbone.text
    assert tuned_backbone(tiny_backbone, pair.config, {}) is tiny_backbone


def test_a_tower_without_such_layer_norms(tiny_backbone, generator):
    """A tower of another kind is refused with the reason."""
    model = copy.copy(tiny_backbone.model)
    model._modules = dict(model._modules, visual=torch.nn.Linear(3, 16))
    config = cases.settings("mocoop-ln")
    with pytest.raises(UserError, match=r"image tower \(Linear\) has no blocks with ln_1"):
        build_model(config, replace(tiny_backbone, model=model), config.groups, generator)


@pytest.mark.parametrize("case", FEW)
def test_a_restored_model_says_the_same(tiny_backbone, case):
    """Weights and setup of a run give back equal text features and image features."""
    pair = make(case, tiny_backbone)
    train(pair)
    names = pair.data.class_names
    setup = RunSetup(
        pair.config, names, pair.config.groups, cases.NUM_SEEN, tiny_backbone.logit_scale,
        tiny_backbone.fingerprint,
    )  # fmt: skip
    again = restore_model(setup, learned_state(pair.model), tiny_backbone)
    assert not any(value.requires_grad for value in again.parameters())
    classes = ClassTokens.from_names(tiny_backbone.text.tokens, names)
    pictures, _ = cases.batch_of(99)
    with torch.no_grad():
        found = [
            (
                predict(model, tiny_backbone.text, classes, cases.features_of(3)).logits,
                model.image_features(tiny_backbone.model.visual, pictures),
            )
            for model in (pair.model, again)
        ]
    for got, expected in zip(*found, strict=True):
        assert torch.equal(got, expected)


def test_weights_of_other_settings_are_refused(tiny_backbone):
    """Weights that do not fit the run's settings are told, and never partly taken."""
    weights = learned_state(make("coop", tiny_backbone).model)
    config = cases.settings("lasp")
    setup = RunSetup(config, cases.NAMES, config.groups, 3, 10.0, tiny_backbone.fingerprint)
    with pytest.raises(
        UserError, match=r"weights do not match its settings .*Train the run again"
    ):
        restore_model(setup, weights, tiny_backbone)


def test_conditional_prompts_are_those_of_each_image_alone(tiny_backbone):
    """CoCoOp's result for a batch is that of one image at a time, also over several parts."""
    pair = make("cocoop: random around the name", tiny_backbone)
    train(pair)
    tower, model = tiny_backbone.text, pair.model
    classes = ClassTokens.from_names(tower.tokens, cases.NAMES)
    features = cases.features_of(IMAGES_AT_ONCE + 5)
    together = predict(model, tower, classes, features)
    with torch.no_grad():
        for row, image in enumerate(features):
            alone = model.conditional(tower, classes, image[None])
            torch.testing.assert_close(together.logits[row], alone.logits[0])
            pairs = Pairs.chosen(torch.zeros(1, 1), 1)
            soft = model.pair_features(tower, classes, image[None], pairs)
            expected = tiny_backbone.logit_scale * soft[0] @ image
            torch.testing.assert_close(together.logits[row], expected)
    assert together.logits.shape == (len(features), len(cases.NAMES))
    assert torch.equal(together.expert_logits[:, 0], together.logits)
    assert torch.equal(together.weights, torch.ones(len(features), 1))
