"""Single steps and whole runs: schedule, alignment, divergence, precision, rates."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.optim.lr_scheduler import CosineAnnealingLR

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment
from mocoop.training.image_sources import CachedImages
from mocoop.training.loop import fit
from mocoop.training.optimizer import NO_DIRECTION, DivergedError, aligned, learning_rate
from mocoop.training.step_losses import step_losses
from tests.support import method_cases as cases
from tests.support.tiny_data import picture_folder, tiny_checkpoint


def test_aligned_by_hand():
    """A gradient keeps what agrees or stands apart, and loses what opposes."""
    general = [torch.tensor([2.0, 0.0])]
    agreeing = [torch.tensor([1.0, 5.0])]
    orthogonal = [torch.tensor([0.0, 5.0])]
    opposing = [torch.tensor([-3.0, 4.0])]
    assert torch.equal(aligned(agreeing, general)[0], agreeing[0])
    assert torch.equal(aligned(orthogonal, general)[0], orthogonal[0])
    torch.testing.assert_close(aligned(opposing, general)[0], torch.tensor([0.0, 4.0]))
    part = aligned(opposing, general, 0.8)[0]
    torch.testing.assert_close(part, torch.tensor([-0.6, 4.0]))
    assert torch.equal(aligned(opposing, general, 0.0)[0], opposing[0])
    opposite = aligned([torch.tensor([-6.0, 0.0])], general)[0]
    torch.testing.assert_close(opposite, torch.zeros(2))


def test_aligned_takes_all_parameters_together():
    """Part of a gradient that opposes may stay, as long as the whole does not."""
    general = [torch.tensor([1.0]), torch.tensor([[1.0]])]
    kept = aligned([torch.tensor([-1.0]), torch.tensor([[2.0]])], general)
    assert [float(part) for part in kept] == [-1.0, 2.0]
    turned = aligned([torch.tensor([-3.0]), torch.tensor([[1.0]])], general)
    assert [float(part) for part in turned] == [-2.0, 2.0]  # product -2, square 2
    assert sum(float(part) for part in turned) == 0.0  # orthogonal to the general one


@pytest.mark.parametrize("size", [0.0, 0.5 * NO_DIRECTION])
def test_a_general_gradient_of_rounding_turns_nothing(size):
    """Where the prompt still says what the untrained one does, there is no direction."""
    gradient = [torch.tensor([-3.0, 4.0])]
    assert torch.equal(aligned(gradient, [torch.tensor([size, 0.0])])[0], gradient[0])


def schedule(**changes):
    """Returns the learning rates of all epochs."""
    config = TrainConfig(**({"learning_rate": 0.8, "warmup_rate": 0.2} | changes))
    return [learning_rate(epoch, config) for epoch in range(1, config.epochs + 1)]


def test_cosine_by_hand():
    """One warm-up epoch, then the cosine over all four epochs, which stops short of its end."""
    rates = schedule(epochs=4)
    half = 0.4 * math.sqrt(0.5)
    assert rates == pytest.approx([0.2, 0.8, 0.4 + half, 0.4])
    assert schedule(epochs=2, warmup_epochs=0) == pytest.approx([0.8, 0.4])


def test_constant_by_hand():
    """The peak after the warm-up."""
    assert schedule(epochs=4, warmup_epochs=2, schedule="constant") == [0.2, 0.2, 0.8, 0.8]


def test_linear_warmup_by_hand():
    """Even steps from the small rate to the peak."""
    rates = schedule(epochs=5, warmup_epochs=3, warmup="linear", schedule="constant")
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_training_shorter_than_its_warmup_has_none(epochs):
    """The cosine then begins at once."""
    assert schedule(epochs=epochs, warmup_epochs=3) == schedule(epochs=epochs, warmup_epochs=0)


@pytest.mark.parametrize(("epochs", "warmup"), [(5, 1), (50, 1), (50, 5), (7, 0)])
def test_cosine_equals_torch_epoch_by_epoch(epochs, warmup):
    """CoOp's schedule: a constant rate, then torch's cosine for as many epochs as there are."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.8)
    cosine = CosineAnnealingLR(optimizer, epochs)
    expected = []
    for epoch in range(epochs):
        expected.append(0.2 if epoch < warmup else cosine.get_last_lr()[0])
        optimizer.step()
        if epoch >= warmup:
            cosine.step()
    assert schedule(epochs=epochs, warmup_epochs=warmup) == pytest.approx(expected)


def with_images(pair, count=8):
    """Returns the pair's training data with some random image features."""
    features = CachedImages(cases.features_of(count)[:, None])
    labels = torch.arange(count) % cases.NUM_SEEN
    return replace(pair.data, train=features, train_labels=labels, val=features, val_labels=labels)


def test_fit_is_those_steps_in_that_order(tiny_backbone):
    """A training equals a loop over epochs and batches, records included."""
    config = cases.settings("mocoop", batch_size=3)
    pair, again = (cases.make_pair(config, tiny_backbone) for _ in range(2))
    data, tower = with_images(pair), tiny_backbone.text
    records = list(fit(pair.model, tower, data, config, torch.Generator().manual_seed(5)))
    generator = torch.Generator().manual_seed(5)
    classes = ClassTokens.from_names(tower.tokens, data.class_names)
    for record in records[1:]:
        again.stepper.set_rate(learning_rate(record.epoch, config))
        totals, right = [], 0
        for number, chosen in enumerate(torch.randperm(8, generator=generator).split(3), 1):
            torch.randint(1, (len(chosen),), generator=generator)  # which view: there is one
            features, labels = data.train.features[chosen, 0], data.train_labels[chosen]
            losses, logits = step_losses(
                again.model, tower, classes, features, labels, data, config
            )
            again.stepper.step(losses, record.epoch, number)
            totals.append(losses["total"].item())
            right += int((logits.argmax(dim=-1) == labels).sum())
        assert record.losses["total"] == pytest.approx(sum(totals) / 3)
        assert record.train_accuracy == pytest.approx(100 * right / 8)
        assert record.learning_rate == learning_rate(record.epoch, config)
    assert [record.epoch for record in records] == [0, 1, 2, 3, 4]
    for ours, theirs in zip(pair.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


ABSURD = {"learning_rate": 1e30, "clip_norm": 0.0, "warmup_epochs": 0}


@pytest.mark.parametrize(
    ("method", "term"),
    [("coop", "classification"), ("mocoop-ln", "classification"), ("kgcoop", "classification")],
)
def test_a_loss_that_diverges_is_named(tiny_backbone, method, term):
    """The error says which loss, when, and what to do; the weights are the last good ones."""
    pair = cases.make_pair(cases.settings(method, **ABSURD), tiny_backbone)
    pair.stepper.set_rate(0.01)
    pair.stepper.step(pair.losses(*cases.batch_of(1)), 1, 1)
    good = {name: value.clone() for name, value in pair.model.state_dict().items()}
    pair.stepper.set_rate(1e30)
    pair.stepper.step(pair.losses(*cases.batch_of(2)), 1, 2)
    losses = pair.losses(*cases.batch_of(3))
    assert not torch.isfinite(losses[term])
    message = rf"The {term} loss is no longer a finite number in epoch 7, step 3\. .*smaller learn"
    with pytest.raises(DivergedError, match=message):
        pair.stepper.step(losses, 7, 3)
    for name, value in pair.model.state_dict().items():
        assert torch.equal(value, good[name]), name


def test_another_term_that_diverges_is_named(tiny_backbone):
    """The first term that is not finite gives the error its name; nothing moves before a step."""
    pair = cases.make_pair(cases.settings("mocoop"), tiny_backbone)
    losses = pair.losses(*cases.batch_of(1)) | {"text": torch.tensor(float("nan"))}
    before = {name: value.clone() for name, value in pair.model.state_dict().items()}
    with pytest.raises(DivergedError, match=r"The text loss .* epoch 1, step 1"):
        pair.stepper.step(losses, 1, 1)
    assert all(torch.equal(v, before[name]) for name, v in pair.model.state_dict().items())


@pytest.mark.parametrize("method", ["coop", "cocoop", "mocoop"])
def test_a_last_step_that_diverges_is_no_result(tiny_backbone, method):
    """No loss judges the last step of a training, and yet its weights are not kept."""
    config = cases.settings(method, epochs=1, batch_size=8, **ABSURD)
    pair = cases.make_pair(config, tiny_backbone)
    before = {name: value.clone() for name, value in pair.model.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    training = fit(pair.model, tiny_backbone.text, with_images(pair), config, generator)
    assert next(training).epoch == 0
    with pytest.raises(DivergedError, match=r"A logit .* after epoch 1\..*smaller learning rate"):
        next(training)
    assert all(torch.equal(v, before[name]) for name, v in pair.model.state_dict().items())


@pytest.mark.parametrize("method", ["coop", "mocoop-ln"])
def test_a_run_that_diverges_keeps_what_it_learnt(workspace, tmp_path, method):
    """The run is marked failed with the reason, and its weights are finite."""
    config = cases.settings(
        method, data=picture_folder(tmp_path / "pictures"), groups=None, shots=2, num_chosen=1,
        backbone=tiny_checkpoint(tmp_path / "clip"), **ABSURD,
    )  # fmt: skip
    path = tmp_path / "run"
    with pytest.raises(UserError, match="no longer a finite number"):
        list(run_experiment(config, path))
    status = Run(path).status()
    assert status.state == "failed"
    assert "Use a smaller learning rate" in status.message
    weights = load_file(path / "weights.safetensors")
    assert weights.keys() >= {"prompts.before.0"}
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert Run(path).results() == {}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("method", ["coop", "cocoop", "kgcoop", "lasp-ln", "mocoop", "mocoop-ln"])
def test_fewer_bits_stay_close(tiny_backbone, method, precision):
    """Three steps in a smaller format are near those in fp32, and what is learnt stays fp32."""
    found = []
    for choice in ("fp32", precision):
        config = cases.settings(method, precision=choice, learning_rate=0.01)
        pair = cases.make_pair(config, tiny_backbone)
        pair.stepper.set_rate(0.01)
        losses, number = [], 0
        while len(losses) < 3:
            number += 1
            batch = cases.batch_of(len(losses))
            start = [value.detach().clone() for value in pair.model.parameters()]
            terms = pair.losses(*batch)
            assert all(loss.dtype == torch.float32 for loss in terms.values())
            pair.stepper.step(terms, 1, number)
            # With fp16 a step is left out while the scale of its gradients is still too large.
            moved = not all(map(torch.equal, start, pair.model.parameters()))
            assert moved or (precision == "fp16" and number < 9)
            losses += [terms["total"].item()] if moved else []
        assert all(value.dtype == torch.float32 for value in pair.model.parameters())
        gradients = torch.cat([v.grad.flatten() for v in pair.model.parameters() if v.numel()
                               and v.requires_grad])  # fmt: skip
        found.append((losses, gradients))
    (plain, plain_gradient), (fewer, gradient) = found
    assert all(math.isfinite(loss) for loss in fewer)
    assert fewer == pytest.approx(plain, rel=0.03)
    assert fewer != plain
    cosine = torch.nn.functional.cosine_similarity(plain_gradient, gradient, dim=0)
    assert cosine > 0.98


def test_router_and_layer_norms_have_rates_of_their_own(tiny_backbone):
    """The first step is rate x share x (gradient + decay), for every kind of parameter."""
    config = cases.settings("mocoop-ln", gate_rate=7.0, layer_norm_rate=0.3, weight_decay=0.05)
    pair = cases.make_pair(config, tiny_backbone)
    start = {name: value.detach().clone() for name, value in pair.model.named_parameters()}
    pair.stepper.set_rate(0.02)
    pair.stepper.step(pair.losses(*cases.batch_of(1)), 1, 1)
    shares = {"gate": 7.0, "norms": 0.3}
    for name, value in pair.model.named_parameters():
        share = shares.get(name.split(".")[0], 1.0)
        expected = start[name] - 0.02 * share * (value.grad + 0.05 * start[name])
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-7, msg=name)


@pytest.mark.parametrize("largest", [0.5, 0.0])
def test_clipping_bounds_the_norm_of_all_gradients(tiny_backbone, largest):
    """The whole gradient is no longer than allowed; zero does not clip."""
    pair = cases.make_pair(cases.settings("mocoop-ln", clip_norm=largest), tiny_backbone)
    losses = pair.losses(*cases.batch_of(1))
    own = [value for value in pair.model.parameters() if value.requires_grad]
    raw = torch.autograd.grad(losses["total"], own, retain_graph=True)
    norm = torch.cat([value.flatten() for value in raw]).norm()
    pair.stepper.step(losses, 1, 1)
    clipped = torch.cat([value.grad.flatten() for value in own]).norm()
    assert norm > 0.5
    assert clipped.item() == pytest.approx(largest or norm.item(), rel=1e-5)
