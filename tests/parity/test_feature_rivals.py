"""TaskRes, CLIP-Adapter and LP++ in plain words: logits, losses, gradients of five steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mocoop.classifiers.blended_probe import (
    blended_logits,
    first_values,
    fit_blended_probe,
    gradients,
    step_sizes,
)
from mocoop.classifiers.feature_adapter import new_adapter
from mocoop.presets import preset
from mocoop.training.feature_training import (
    FeatureData,
    adapter_learner,
    residual_learner,
    train_on_features,
)
from mocoop.training.optimizer import learning_rate
from tests.parity import rivals
from tests.parity.feature_rivals import CLIPAdapter, LPPlusPlus, TaskRes
from tests.support.method_cases import features_of

SCALE = 10.0
OTHER = "ViT-B-16-quickgelu/openai"
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
LABELS = torch.arange(12) % 4
PEAKS = {"taskres": (0.002, 200, 1), "clip-adapter": (0.002, 200, 1)}
"""Method → published rate, epochs and warm-up epochs."""


def lengths(count, seed):
    """Returns lengths (count, 1) as of features that were not normalised."""
    return 5 + 10 * torch.rand(count, 1, generator=torch.Generator().manual_seed(seed))


def published(method):
    """Returns the published settings with all images in a step and five steps at the full rate."""
    config = replace(preset(method, OTHER), precision="fp32")
    return replace(config, epochs=5, warmup_epochs=0, learning_rate=0.05, batch_size=256)


def compare_steps(learner, plain, config, images):
    """Trains both for five steps and compares losses, gradients and weights after each.

    Args:
        learner: ours, on normalised features.
        plain: the restatement, which takes features of any length.
        config: the settings.
        images: features as an image tower gives them, (images, dim).
    """
    own = F.normalize(images, dim=-1)
    data = FeatureData(own[:, None], LABELS, own[:0], LABELS[:0])
    optimizer = plain.optimizer(config.learning_rate, config.weight_decay)
    torch.testing.assert_close(learner.logits_of(own), plain.logits(images), **CLOSE)
    records = train_on_features(learner, data, config, torch.Generator().manual_seed(0))
    next(records)
    for record in records:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(record.epoch, config)
        loss = F.cross_entropy(plain.logits(images), LABELS)
        optimizer.zero_grad()
        loss.backward()
        assert record.losses["classification"] == pytest.approx(loss.item(), rel=1e-5)
        for mine, theirs in zip(learner.learned, plain.learned, strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5)
            assert float(theirs.grad.abs().max()) > 1e-4
        optimizer.step()
        for mine, theirs in zip(learner.learned, plain.learned, strict=True):
            torch.testing.assert_close(mine.detach(), theirs.detach(), rtol=1e-4, atol=1e-5)
    assert record.epoch == 5


def test_task_residual_is_equal():
    """The base is longer than 1, so that a vector turns it less than a normalised one."""
    config = published("taskres")
    base, images = features_of(4, seed=1) * lengths(4, 2), features_of(12) * lengths(12, 3)
    learner = residual_learner(base, SCALE, config)
    compare_steps(learner, TaskRes(base, 0.5, SCALE), config, images)
    torch.testing.assert_close(base, features_of(4, seed=1) * lengths(4, 2))  # still frozen


def test_feature_adapter_is_equal():
    """The restatement takes raw features, ours normalised ones: with no bias it is the same."""
    config = published("clip-adapter")
    texts, images = features_of(4, seed=1), features_of(12) * lengths(12, 3)
    learner = adapter_learner(texts, SCALE, config, torch.Generator().manual_seed(5))
    down, up = new_adapter(16, torch.Generator().manual_seed(5))
    compare_steps(learner, CLIPAdapter(texts, 0.2, SCALE, down, up), config, images)


@pytest.mark.parametrize("method", PEAKS)
def test_rates_of_every_epoch(method):
    config = preset(method, OTHER)
    peak, epochs, warmup = PEAKS[method]
    expected = rivals.schedule(peak, epochs, warmup)
    found = [learning_rate(epoch, config) for epoch in range(1, epochs + 1)]
    assert config.epochs == epochs
    assert found == pytest.approx(expected, rel=1e-6)


def test_blended_probe_is_equal():
    """First values, step sizes, gradients of five steps, and weights up to the second blend."""
    images, texts = features_of(12), features_of(4, seed=1)
    plain = LPPlusPlus(images, LABELS, texts)
    first = first_values(images, LABELS, texts, 250.0)
    for mine, theirs in zip(first, plain.learned, strict=True):
        torch.testing.assert_close(mine, theirs.detach(), **CLOSE)
    assert step_sizes(images, texts) == pytest.approx((plain.rate, plain.blend_rate), rel=1e-5)
    logits = blended_logits(images, *first, texts)
    torch.testing.assert_close(logits, plain.logits(images).detach(), rtol=1e-5, atol=1e-4)
    for step, found in enumerate(plain.run(20), start=1):
        ours = gradients(logits, images, LABELS, images @ texts.T)
        for mine, theirs in zip(ours, found, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)
        probe = fit_blended_probe(images, LABELS, images[:0], LABELS[:0], texts, steps=step)
        assert (probe.steps, probe.factor, probe.val_accuracy) == (step, 250.0, None)
        weights = (probe.weight, probe.bias, probe.blend)
        for mine, theirs in zip(weights, plain.learned, strict=True):
            torch.testing.assert_close(mine, theirs.detach(), rtol=1e-4, atol=1e-4)
        logits = blended_logits(images, *weights, texts)
        torch.testing.assert_close(logits, plain.logits(images).detach(), rtol=1e-4, atol=1e-3)
