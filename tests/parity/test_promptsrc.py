"""PromptSRC and the mixtures with vision prompts beside plain restatements."""

from __future__ import annotations

from dataclasses import replace

import open_clip
import pytest
import torch
from open_clip.model import CLIP

from mocoop.clip.backbone import Backbone, make_backbone
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import IMAGENET_60, expert_groups, frozen_text
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.templates import load_templates
from mocoop.training.aggregation import gaussian_weights
from mocoop.training.optimizer import PromptOptimizer
from mocoop.training.step_losses import step_losses
from tests.parity import promptsrc as plain
from tests.parity import rivals
from tests.support.method_cases import product
from tests.support.tiny import tiny_config, unsettle

OTHER = "ViT-B-16-quickgelu/openai"
NAMES = ("cat", "fleur de lis", "old house", "F/A-18")
TEMPLATES = load_templates("oxford_pets")
EPOCHS = (1, 2, 6, 7, 9)  # in which the five steps are taken: warm-up and cosine
CLOSE = 2e-5  # fp32 against fp64; torch 2.6 comes to 1.01e-5


@pytest.fixture(scope="module")
def clip():
    """An open_clip model with three blocks in both towers, in fp64: the restatements are exact."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = CLIP(**deep_config())
        unsettle(model)
    return model.eval().requires_grad_(False).double()


@pytest.fixture(scope="module")
def backbone(clip, tokenizer):
    """The same CLIP as the library has it, in fp32."""
    own = CLIP(**deep_config())
    own.load_state_dict(clip.state_dict())
    return make_backbone("deep", own, tokenizer, torch.device("cpu"))


def deep_config():
    """Returns the tiny CLIP's configuration with three blocks in both towers."""
    config = tiny_config(layers=3)
    return config | {"vision_cfg": config["vision_cfg"] | {"layers": 3}}


def settings(method, **changes):
    """Returns the published preset as it trains on Oxford Pets, in as many blocks as there are."""
    config = replace(preset(method, OTHER), precision="fp32", device="cpu", **changes)
    return replace(config, groups=expert_groups(config, TEMPLATES))


def ours(config, backbone):
    """Returns our untrained model and its data, with the frozen texts."""
    model, data = product(config, backbone, NAMES, len(NAMES))
    if config.compares_texts:
        frozen = frozen_text(config, backbone.text, TEMPLATES, NAMES)
        data = replace(data, hard=replace(data.hard, frozen=frozen))
    return model, data


def own_templates():
    """Returns all templates of the data set, the plain one first, each once."""
    every = [template for group in TEMPLATES.groups.values() for template in group]
    return list(dict.fromkeys([TEMPLATES.zero_shot, *every]))


def as_plain(values):
    """Returns our tensors by the names of the restatements."""
    names = {"prompts.deep.0": "deep", "vision.values": "vision"}
    found = {names.get(name, name.removeprefix("prompts.")): v for name, v in values.items()}
    if "deep" in found:
        return {"context": found.pop("before.0"), **found}
    return {name.removeprefix("gate."): value for name, value in found.items()}


def is_learned(parameter):
    """Returns whether a parameter is learned, and has any numbers."""
    return parameter.requires_grad and parameter.numel() > 0


def assert_close(found, expected, what, largest=0.0):
    """Compares by the largest number of the second tensor, or a tenth of all its kind's."""
    scale = max(float(expected.abs().max()), 0.1 * largest)
    apart = float((found - expected).abs().max()) / scale
    assert apart <= CLOSE, f"{what}: {apart:.1e} apart"


def make_promptsrc(config, clip, backbone, model):
    frozen = [template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES][:60]
    deep, vision = model.prompts.deep[0], model.vision.values
    return plain.PromptSRC(clip, backbone.tokenizer, NAMES, deep, vision, frozen)


def make_mocoop(config, clip, backbone, model):
    gate = torch.nn.Linear(*reversed(model.gate.weight.shape)).double()
    gate.load_state_dict(model.gate.state_dict())
    frozen = own_templates() if config.image_consistency else None
    groups = list(TEMPLATES.groups.values())
    parts = clip, backbone.tokenizer, NAMES, groups, gate
    return plain.MoCoOpSRC(*parts, model.vision.values, frozen)


CASES = {
    "PromptSRC": ("promptsrc", {"vision_depth": 3, "text_depth": 3}, make_promptsrc),
    "PromptSRC, fewer blocks": ("promptsrc", {"vision_depth": 2, "text_depth": 2}, make_promptsrc),
    "MoCoOp with vision prompts": ("mocoop-v", {"vision_depth": 2}, make_mocoop),
    "MoCoOp, consistent": ("mocoop-src", {"vision_depth": 3}, make_mocoop),
}


@pytest.mark.parametrize("case", CASES)
def test_losses_gradients_and_steps_are_equal(clip, backbone, case):
    """Every loss, every gradient as it is applied, and every weight, in each of five steps."""
    method, changes, make = CASES[case]
    config = settings(method, **changes)
    model, data = ours(config, backbone)
    rival = make(config, clip, backbone, model)
    learned = rival.learned
    assert (config.learning_rate, config.epochs) == (rival.rate, rival.epochs)
    peaks = dict.fromkeys(learned, rival.rate)
    if method != "promptsrc":
        peaks["vision"] *= 0.1  # our own rate of the vision prompts in a mixture
    groups = [{"params": [value], "lr": peaks[name]} for name, value in learned.items()]
    sgd = torch.optim.SGD(groups, 0.1, momentum=0.9, weight_decay=5e-4)
    rates = [rivals.schedule(peaks[n], rival.epochs, rival.warmup_epochs) for n in learned]
    stepper = PromptOptimizer(model, config)
    classes = ClassTokens.from_names(backbone.text.tokens, NAMES)
    for number, epoch in enumerate(EPOCHS):
        pictures = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(number))
        labels = (torch.arange(4) + number) % len(NAMES)
        features = model.training_features(backbone.model.visual, pictures)
        losses, _ = step_losses(model, backbone.text, classes, features, labels, data, config)
        stepper.set_epoch(epoch)
        stepper.step(losses, epoch, number)
        expected = rival.losses(pictures.double(), labels)
        gradients = torch.autograd.grad(expected["total"], list(learned.values()))
        for value, gradient in zip(learned.values(), gradients, strict=True):
            value.grad = gradient
        if config.clip_norm:
            torch.nn.utils.clip_grad_norm_(learned.values(), config.clip_norm)
        for group, rate in zip(sgd.param_groups, rates, strict=True):
            group["lr"] = rate[epoch - 1]
        sgd.step()
        assert set(losses) == set(expected)
        for name, loss in expected.items():
            assert_close(losses[name].detach(), loss.detach(), f"step {number}, {name}")
        trained = {name: p for name, p in model.named_parameters() if is_learned(p)}
        applied = as_plain({name: p.grad for name, p in trained.items()})
        after = as_plain({name: p.detach() for name, p in trained.items()})
        assert set(applied) == set(learned)
        largest = max(float(value.grad.abs().max()) for value in learned.values())
        for name, value in learned.items():
            assert_close(applied[name], value.grad, f"step {number}, gradient of {name}", largest)
            assert_close(after[name], value.detach(), f"step {number}, {name}")


@pytest.mark.parametrize("method", ["promptsrc", "mocoop-v", "mocoop-src"])
def test_rates_of_every_epoch(backbone, method):
    """Of the learned tokens in both towers and the router; all start alike."""
    config = settings(method, vision_depth=2, text_depth=2 if method == "promptsrc" else 1)
    model, _ = ours(config, backbone)
    stepper = PromptOptimizer(model, config)
    single = method == "promptsrc"
    peak, epochs, warmup = (0.0025, 20, 1) if single else (0.032, 50, 5)
    assert config.epochs == epochs
    shares = (1.0, 1.0) if single else (1.0, 1.0, 0.1)  # prompts, router, image tower
    expected = [rivals.schedule(share * peak, epochs, warmup) for share in shares]
    for epoch in range(1, epochs + 1):
        stepper.set_epoch(epoch)
        found = [group["lr"] for group in stepper._optimizer.param_groups]
        assert found == pytest.approx([rates[epoch - 1] for rates in expected], rel=1e-6)


@pytest.mark.parametrize("mean", ["raw", "unit"])
@pytest.mark.parametrize("which", ["imagenet", "own"])
def test_frozen_texts(clip, backbone, which, mean):
    """The mean over templates before or after it is normalised: two different features."""
    config = settings("promptsrc", consistency_templates=which, consistency_mean=mean)
    found = frozen_text(config, backbone.text, TEMPLATES, NAMES)
    templates = IMAGENET_60 if which == "imagenet" else own_templates()
    parts = clip, backbone.tokenizer, templates, NAMES
    assert_close(found, plain.frozen_texts(*parts, unit=mean == "unit"), "frozen texts")
    assert (found - plain.frozen_texts(*parts, unit=mean == "raw")).abs().max() > 1e-4


def test_the_sixty_templates():
    """Those of PromptSRC's code end with “itap of the {}.”, without the other twenty."""
    assert len(set(IMAGENET_60)) == plain.TEMPLATES
    assert IMAGENET_60[-1] == "itap of the {}."
    assert "a photo of a {}." in IMAGENET_60
    assert "a photo of the small {}." not in IMAGENET_60


@pytest.mark.parametrize(
    ("epochs", "mean", "std"),
    [(20, 15.0, 1.0), (20, 6.0, 10.0), (50, 45.0, 5.0), (50, 30.0, 30.0)],
)
def test_weights_of_the_epochs(epochs, mean, std):
    found = gaussian_weights(epochs, mean, std)
    expected = [plain.weight_of(epoch, epochs, mean, std) for epoch in range(1, epochs + 1)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert float(found.sum()) == pytest.approx(1.0)


def test_published_weights():
    """Base-to-new: epochs 12 to 18 count, the last two hardly."""
    found = gaussian_weights(20, 15.0, 1.0)[11:18]
    rounded = [0.004, 0.054, 0.242, 0.399, 0.242, 0.054, 0.004]
    assert found.tolist() == pytest.approx(rounded, abs=5e-4)


@pytest.mark.parametrize("method", ["promptsrc", "mocoop-src", "coop", "mocoop-ln"])
def test_the_finished_model_is_the_weighted_sum(backbone, method):
    """After the last epoch all learned parameters are the sum; nothing else has changed."""
    changes = {"epochs": 5, "aggregation": "gaussian", "aggregation_mean": 3.0, "batch_size": 4}
    depth = {} if method in ("coop", "mocoop-ln") else {"vision_depth": 2}
    depth |= {"text_depth": 2} if method == "promptsrc" else {}
    config = settings(method, **changes | depth)
    model, data = ours(config, backbone)
    learned = {name for name, p in model.named_parameters() if is_learned(p)}
    first = {name: value.clone() for name, value in model.state_dict().items()}
    stepper = PromptOptimizer(model, config)
    classes = ClassTokens.from_names(backbone.text.tokens, NAMES)
    total = {name: torch.zeros_like(first[name]) for name in learned}
    last = {}
    for epoch in range(1, 6):
        pictures = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(epoch))
        features = model.training_features(backbone.model.visual, pictures)
        labels = torch.arange(4)
        losses, _ = step_losses(model, backbone.text, classes, features, labels, data, config)
        stepper.set_epoch(epoch)
        stepper.step(losses, epoch, 1)
        for name in learned:
            last[name] = model.get_parameter(name).detach().clone()
            total[name] += plain.weight_of(epoch, 5, 3.0, 1.0) * last[name]
        stepper.end_epoch(epoch)
    for name, value in model.state_dict().items():
        if name not in learned:
            assert torch.equal(value, first[name]), name
            continue
        torch.testing.assert_close(value, total[name], rtol=1e-6, atol=1e-7)
        assert not torch.equal(value, last[name]), name


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("promptsrc", 9 * 4 * (768 + 512)),
        ("mocoop-v", 9 * 4 * 768),  # beside what MoCoOp itself learns
        ("mocoop-src", 9 * 4 * 768),
    ],
)
def test_number_of_parameters_at_vit_b_16(tokenizer, method, expected):
    """46,080 for PromptSRC: 4 + 4 tokens in the first nine blocks of both towers."""
    with torch.device("meta"):  # sizes without weights
        wide = CLIP(**open_clip.get_model_config("ViT-B-16-quickgelu"))
    wide.logit_scale = torch.nn.Parameter(torch.zeros(()), requires_grad=False)
    config = settings(method)
    backbone = Backbone(OTHER, wide, tokenizer, None, None, "", torch.device("meta"))
    generator = torch.Generator().manual_seed(1)

    def count(config):
        model = build_model(config, backbone, config.groups, generator)
        return sum(p.numel() for p in model.parameters() if p.requires_grad)

    alone = 0 if method == "promptsrc" else count(settings("mocoop"))
    assert count(config) - alone == expected
    assert method != "promptsrc" or expected == 46_080
