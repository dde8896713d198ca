"""Our published presets beside the rivals in plain words: losses, gradients and five steps.

The presets are those for other CLIPs than the built-in one; a tiny random CLIP stands in for
them. The steps are taken by what a training takes them with: `step_losses` and `PromptOptimizer`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mocoop.methods import METHODS
from mocoop.model.hard_prompts import expert_groups
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.templates import load_templates
from mocoop.training.optimizer import PromptOptimizer
from mocoop.training.step_losses import step_losses
from tests.parity import rivals
from tests.support.method_cases import plain_name, product
from tests.support.reference_training import PlainImageTower

OTHER = "ViT-B-16-quickgelu/openai"
EPOCHS = (1, 2, 6, 7, 9)  # in which the five steps are taken: warm-up and cosine
# The largest difference that is allowed, as a share of the tensor's largest number. Small numbers
# hold the rounding errors of large ones, so that it is a tenth of the step's largest at least.
CLOSE = 1e-5
NAMES = ("cat", "fleur de lis", "jack-o'-lantern", "old house", "F/A-18")
SEAM = ("crane (bird)", "St. Bernard etc.")  # tokenised together with the full stop
TEMPLATES = load_templates("oxford_pets")
RANDOM = {"context_init": "random", "context_tokens": 6}


def settings(method, **changes):
    """Returns the published preset as it trains on Oxford Pets."""
    config = replace(preset(method, OTHER), precision="fp32", device="cpu", **changes)
    return replace(config, groups=expert_groups(config, TEMPLATES))


def coop(config, backbone, names, model):
    """Returns CoOp with the context that the model starts from, if it is a random one."""
    context = None
    if config.context_init == "random":
        blocks = model.prompts.before[0], model.prompts.after[0]
        context = torch.cat(blocks, dim=-2)
    parts = backbone.model, backbone.tokenizer, names, context
    return rivals.CoOp(*parts, position=config.name_position)


def cocoop(config, backbone, names, model):
    meta = rivals.meta_net(backbone.text.dim, backbone.text.width)
    for layer, own in ((meta[0], model.shift.squeeze), (meta[2], model.shift.expand)):
        layer.load_state_dict(own.state_dict())
    return rivals.CoCoOp(backbone.model, backbone.tokenizer, names, meta=meta)


def prograd(config, backbone, names, model):
    return rivals.ProGrad(backbone.model, backbone.tokenizer, names, TEMPLATES.zero_shot)


def kgcoop(config, backbone, names, model):
    return rivals.KgCoOp(backbone.model, backbone.tokenizer, names, TEMPLATES.zero_shot)


def lasp(config, backbone, names, model):
    templates = load_templates("lasp").groups["prompt"]
    noise = torch.Generator().manual_seed(3)
    return rivals.LASP(backbone.model, backbone.tokenizer, names, templates, noise)


def mocoop(config, backbone, names, model):
    gate = torch.nn.Linear(*reversed(model.gate.weight.shape))
    gate.load_state_dict(model.gate.state_dict())
    groups = TEMPLATES.groups.values()
    return rivals.MoCoOp(backbone.model, backbone.tokenizer, names, list(groups), gate)


CASES = {
    "CoOp": ("coop", {}, coop),
    "CoOp, random": ("coop", RANDOM, coop),
    "CoOp, middle": ("coop", RANDOM | {"name_position": "middle"}, coop),
    "CoOp, front": ("coop", RANDOM | {"name_position": "front"}, coop),
    "CoOp, class-specific": ("coop", RANDOM | {"class_context": True}, coop),
    "CoCoOp": ("cocoop", {}, cocoop),
    "ProGrad": ("prograd", {}, prograd),
    "KgCoOp": ("kgcoop", {}, kgcoop),
    "LASP": ("lasp", {}, lasp),
    "LASP with LayerNorms": ("lasp-ln", {}, lasp),
    "MoCoOp": ("mocoop", {}, mocoop),
    "MoCoOp with LayerNorms": ("mocoop-ln", {}, mocoop),
}
WITH_SEAM = ("CoOp", "CoOp, random", "CoOp, class-specific", "KgCoOp", "LASP")


def as_theirs(values):
    """Returns our tensors by the names of the rivals, whose contexts are in one piece."""
    found = {plain_name(name).replace("meta.", ""): value for name, value in values.items()}
    if "gate.weight" in found:
        return {name.removeprefix("gate."): value for name, value in found.items()}
    blocks = [found.pop(name) for name in ("before.0", "after.0") if name in found]
    return found | {"context": torch.cat(blocks, dim=-2)}


def assert_close(found, expected, what, largest=0.0, close=CLOSE):
    """Compares two tensors by the largest number of the second, and of all its kind."""
    assert found.shape == expected.shape, what
    scale = max(float(expected.abs().max()), 0.1 * largest)
    apart = float((found - expected).abs().max()) / scale
    assert apart <= close, f"{what}: {apart:.1e} apart"


@pytest.mark.parametrize("case", CASES)
def test_losses_gradients_and_steps_are_equal(tiny_backbone, case):
    """The loss, every gradient as it is applied, and every weight, in each of five steps."""
    method, changes, make = CASES[case]
    config = settings(method, **changes)
    names = NAMES + (SEAM if case in WITH_SEAM else ())
    model, data = product(config, tiny_backbone, names, len(names))
    rival = make(config, tiny_backbone, names, model)
    tower = PlainImageTower(tiny_backbone.model.visual, config.tune_layer_norms)
    rival.norms = tower.learnt
    learned = rival.learned | tower.learnt
    peaks = dict.fromkeys(rival.learned, rival.rate)
    peaks |= dict.fromkeys(tower.learnt, 0.1 * rival.rate)
    groups = [{"params": [learned[name]], "lr": peaks[name]} for name in learned]
    sgd = torch.optim.SGD(groups, 0.1, momentum=0.9, weight_decay=5e-4)
    rates = [rivals.schedule(peaks[name], rival.epochs, rival.warmup_epochs) for name in learned]
    stepper = PromptOptimizer(model, config)
    classes = ClassTokens.from_names(tiny_backbone.text.tokens, names)
    noise = torch.Generator().manual_seed(3)
    assert config.epochs == rival.epochs
    for number, epoch in enumerate(EPOCHS):
        pictures = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(number))
        labels = (torch.arange(6) + number) % len(names)
        features = model.image_features(tiny_backbone.model.visual, pictures)
        losses, _ = step_losses(
            model, tiny_backbone.text, classes, features, labels, data, config, noise
        )
        stepper.set_epoch(epoch)
        stepper.step(losses, epoch, number)
        loss, gradients = rival.gradients(tower.features(pictures), labels)
        for value, gradient in zip(learned.values(), gradients.values(), strict=True):
            value.grad = gradient
        if rival.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(learned.values(), rival.clip_norm)
        for group, rate in zip(sgd.param_groups, rates, strict=True):
            group["lr"] = rate[epoch - 1]
        sgd.step()
        assert_close(losses["total"].detach(), loss.detach(), "loss")
        ours = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
        applied = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
        applied, after = as_theirs(applied), as_theirs(ours)
        assert set(applied) == set(learned)
        largest = max(float(value.grad.abs().max()) for value in learned.values())
        for name, value in learned.items():
            assert_close(applied[name], value.grad, f"step {number}, gradient of {name}", largest)
            assert_close(after[name], value.detach(), f"step {number}, {name}")


PEAKS = {
    "coop": (0.002, 50, 1),
    "cocoop": (0.002, 10, 1),
    "prograd": (0.002, 100, 1),
    "kgcoop": (0.002, 100, 1),
    "lasp": (0.032, 25, 3),
    "lasp-v": (0.032, 25, 3),
    "lasp-ln": (0.032, 25, 3),
    "lasp-v-ln": (0.032, 25, 3),
    "mocoop": (0.032, 50, 5),
    "mocoop-all": (0.032, 50, 5),
    "mocoop-ln": (0.032, 50, 5),
    "mocoop-all-ln": (0.032, 50, 5),
    "mocoop-cond": (0.032, 50, 5),
}
"""Method → published rate, epochs and warm-up epochs."""


@pytest.mark.parametrize("method", PEAKS)
def test_rates_of_every_epoch(tiny_backbone, method):
    """Prompts and router at the published rate, LayerNorms at a tenth; all start alike."""
    config = settings(method)
    model, _ = product(config, tiny_backbone, NAMES, len(NAMES))
    stepper = PromptOptimizer(model, config)
    peak, epochs, warmup = PEAKS[method]
    assert config.epochs == epochs
    shares = [1.0] + [1.0] * (model.gate is not None) + [0.1] * (model.norms is not None)
    expected = [rivals.schedule(share * peak, epochs, warmup) for share in shares]
    for epoch in range(1, epochs + 1):
        stepper.set_epoch(epoch)
        found = [group["lr"] for group in stepper._optimizer.param_groups]
        assert found == pytest.approx([rates[epoch - 1] for rates in expected], rel=1e-6)


def test_every_published_rate_is_here():
    """Those of tokens in the image tower stand in test_towers.py and test_promptsrc.py."""
    trained = {
        key
        for key, method in METHODS.items()
        if method.learns_prompts
        and preset(key, OTHER).vision_depth + preset(key, OTHER).lora_rank == 0
    }
    assert set(PEAKS) == {key for key in trained if METHODS[key].learns_in_epochs}
