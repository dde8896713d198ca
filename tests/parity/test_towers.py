"""VPT, IVLP and MaPLe as published beside their plain forms: losses, gradients and five steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mocoop.model.build import build_model
from mocoop.model.vision_prompts import tuned_tower
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.optimizer import PromptOptimizer
from mocoop.training.step_losses import step_losses
from tests.parity import rivals, towers
from tests.parity.test_rivals import CLOSE, NAMES, assert_close, settings
from tests.support.deep_clip import DEPTH, deep_backbone
from tests.support.method_cases import product
from tests.support.tiny import TINY_CONFIG

EPOCHS = (1, 2, 3, 4, 5)
LATER = 3 * CLOSE  # after the first step: rounding errors of the steps before add up
DEPTHS = {"vision_depth": DEPTH, "text_depth": DEPTH}


def vpt(parts, model):
    return towers.VPT(*parts, 4, model.vision.values, None)


def ivlp(parts, model):
    return towers.Towers(*parts, 2, model.vision.values, model.prompts.deep[0])


def maple(parts, model):
    layers = [(layer.weight, layer.bias) for layer in model.vision.coupling]
    return towers.MaPLe(*parts, 2, None, model.prompts.deep[0], layers=layers)


CASES = {
    "vpt": (vpt, {"vision_depth": DEPTH}),
    "vpt, shallow": (vpt, {"vision_depth": 1}),
    "ivlp": (ivlp, DEPTHS),
    "ivlp, not all blocks": (ivlp, {"vision_depth": 2, "text_depth": 2}),
    "maple": (maple, DEPTHS),
    "maple, not all blocks": (maple, {"vision_depth": 2, "text_depth": 2}),
}


def as_theirs(values):
    """Returns our tensors by the names of the plain forms."""
    names = {
        "prompts.before.0": "context",
        "prompts.deep.0": "deep",
        "vision.values": "vision",
    }
    return {names.get(n, n.removeprefix("vision.coupling.")): v for n, v in values.items()}


@pytest.mark.parametrize("case", CASES)
def test_losses_gradients_and_steps_are_equal(case):
    """The loss, every gradient as it is applied, and every weight, in each of five steps."""
    make, depths = CASES[case]
    backbone = deep_backbone()
    config = settings(case.split(",")[0], **depths)
    model, data = product(config, backbone, NAMES, len(NAMES))
    rival = make((backbone.model, backbone.tokenizer, NAMES), model)
    learned = rival.learned
    sgd = torch.optim.SGD(learned.values(), 0.1, momentum=0.9, weight_decay=5e-4)
    rates = rivals.schedule(rival.rate, rival.epochs, rival.warmup_epochs)
    stepper = PromptOptimizer(model, config)
    classes = ClassTokens.from_names(backbone.text.tokens, NAMES)
    assert (config.epochs, config.batch_size, config.clip_norm) == (rival.epochs, 4, 0.0)
    for number, epoch in enumerate(EPOCHS):
        pictures = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(number))
        labels = (torch.arange(6) + number) % len(NAMES)
        features = model.image_features(backbone.model.visual, pictures)
        losses, _ = step_losses(model, backbone.text, classes, features, labels, data, config)
        stepper.set_epoch(epoch)
        stepper.step(losses, epoch, number)
        loss = rival.loss(pictures, labels)
        for value, gradient in zip(
            learned.values(), torch.autograd.grad(loss, learned.values()), strict=True
        ):
            value.grad = gradient
        sgd.param_groups[0]["lr"] = rates[epoch - 1]
        sgd.step()
        close = LATER if number else CLOSE
        assert_close(losses["total"].detach(), loss.detach(), "loss", close=close)
        own = {n: p for n, p in model.named_parameters() if p.requires_grad and p.numel()}
        applied = as_theirs({name: p.grad for name, p in own.items()})
        after = as_theirs({name: p.detach() for name, p in own.items()})
        assert set(applied) == set(learned)
        largest = max(float(value.grad.abs().max()) for value in learned.values())
        for name, value in learned.items():
            what = f"step {number}, gradient of {name}"
            assert_close(applied[name], value.grad, what, largest, close)
            assert_close(after[name], value.detach(), f"step {number}, {name}", close=close)


@pytest.mark.parametrize("method", ["vpt", "ivlp", "maple"])
def test_rates_of_every_epoch(method):
    """All learned tokens and layers have the published rate, also in the warm-up."""
    backbone = deep_backbone()
    config = settings(method, **(DEPTHS if method != "vpt" else {"vision_depth": DEPTH}))
    model, _ = product(config, backbone, NAMES, len(NAMES))
    stepper = PromptOptimizer(model, config)
    rival = {"vpt": towers.VPT}.get(method, towers.Towers)
    assert config.epochs == rival.epochs
    expected = rivals.schedule(rival.rate, rival.epochs, rival.warmup_epochs)
    for epoch in range(1, config.epochs + 1):
        stepper.set_epoch(epoch)
        for group in stepper._optimizer.param_groups:
            assert group["lr"] == pytest.approx(expected[epoch - 1], rel=1e-6)


def base_size():
    """Returns a random CLIP with the widths and the blocks of ViT-B/16, without its MLPs."""
    vision = TINY_CONFIG["vision_cfg"] | {"width": 768, "layers": 12, "mlp_ratio": 0.01}
    text = TINY_CONFIG["text_cfg"] | {"width": 512, "heads": 8, "layers": 12, "mlp_ratio": 0.01}
    return {"vision": vision, "text": text}


@pytest.mark.parametrize(
    ("method", "changes", "expected"),
    [
        ("ivlp", {"learned_tokens": 0, "vision_prompts": 4, "vision_depth": 9, "text_depth": 9},
         46_080),
        ("maple", {}, 3_555_072),
        ("vpt", {}, 12 * 8 * 768),
    ],
)  # fmt: skip
def test_number_of_learned_parameters(method, changes, expected):
    """As many as in the papers, at the widths of ViT-B/16."""
    backbone = deep_backbone(**base_size())
    config = settings(method, **changes)
    model = build_model(config, backbone, config.groups, torch.Generator().manual_seed(1))
    learned = [p for p in model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in learned) == expected


def test_deep_layers_of_the_coupling_start_alike():
    """The coupling of the first block is drawn alone; those of the later blocks are copies."""
    backbone = deep_backbone()
    config = settings("maple", **DEPTHS)
    model, _ = product(config, backbone, NAMES, len(NAMES))
    first, second, third = model.vision.coupling
    assert torch.equal(second.weight, third.weight)
    assert torch.equal(second.bias, third.bias)
    assert second.weight.data_ptr() != third.weight.data_ptr()
    assert not torch.equal(first.weight, second.weight)


def test_saved_weights_give_the_same_tokens():
    """The image tower's tokens computed from a saved state are those of the model."""
    backbone = deep_backbone()
    config = settings("maple", **DEPTHS)
    model, _ = product(config, backbone, NAMES, len(NAMES))
    saved = {name: value.clone() for name, value in model.state_dict().items()}
    assert torch.equal(tuned_tower(config, saved).tokens, model.tuned_tower().tokens)


def test_demo_presets_fit_the_built_in_clip():
    """The recipes for the built-in CLIP ask for no more blocks than it has."""
    for method in ("vpt", "ivlp", "maple"):
        config = replace(preset(method), groups={"prompt": ("a photo of a {}.",)})
        assert config.vision_depth <= 6
        assert config.text_depth <= 3
