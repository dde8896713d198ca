"""Learning rates of the groups of parameters, and the batches of an epoch, as in Dassl."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mocoop.config import TrainConfig
from mocoop.methods import METHODS
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.batches import batches_of
from mocoop.training.image_sources import CachedImages
from mocoop.training.loop import fit
from mocoop.training.optimizer import learning_rate
from mocoop.training.step_losses import step_losses
from tests.support import method_cases as cases


def with_images(pair, count=8):
    """Returns the pair's training data with some random image features."""
    features = CachedImages(cases.features_of(count)[:, None])
    labels = torch.arange(count) % cases.NUM_SEEN
    return replace(pair.data, train=features, train_labels=labels, val=features, val_labels=labels)


@pytest.mark.parametrize("warmup", ["constant", "linear"])
def test_rates_of_each_group_epoch_by_epoch(tiny_backbone, warmup):
    """Router and LayerNorms have multiples of the prompts' rate, in the warm-up only if scaled."""
    rates = {"gate_rate": 4.0, "layer_norm_rate": 0.1, "learning_rate": 0.032, "warmup": warmup}
    rates |= {"warmup_rate": 1e-5, "warmup_epochs": 2}
    found = {}
    for groups in ("scaled", "same"):
        config = cases.settings("mocoop-ln", warmup_groups=groups, **rates)
        pair = cases.make_pair(config, tiny_backbone)
        found[groups] = []
        for epoch in (1, 2, 3, 4):
            assert pair.stepper.set_epoch(epoch) == learning_rate(epoch, config)
            found[groups].append([group["lr"] for group in pair.stepper._optimizer.param_groups])
    prompts = [learning_rate(epoch, config) for epoch in (1, 2, 3, 4)]
    scaled = [[rate, 4.0 * rate, 0.1 * rate] for rate in prompts]
    assert found["scaled"] == [pytest.approx(rates) for rates in scaled]
    # As in Dassl: every group starts at the same small rate, and has its own peak.
    assert found["same"][0] == [1e-5] * 3
    second = [1e-5] * 3 if warmup == "constant" else [1e-5 + (p - 1e-5) / 2 for p in
                                                      (0.032, 0.128, 0.0032)]  # fmt: skip
    assert found["same"][1] == pytest.approx(second)
    assert found["same"][2:] == [pytest.approx(rates) for rates in scaled[2:]]


def test_published_recipes_warm_every_group_up_alike():
    for method in METHODS.values():
        config = preset(method.key, "ViT-B-16-quickgelu/openai")
        if method.learns_prompts and config.warmup_epochs > 0:
            assert (config.warmup_groups, config.warmup_rate, config.drop_last) == (
                "same", 1e-5, True,
            )  # fmt: skip
            assert preset(method.key).warmup_groups == "scaled"


@pytest.mark.parametrize(
    ("images", "size", "drop_last", "steps"),
    [
        (8, 3, False, [3, 3, 2]),
        (8, 3, True, [3, 3]),
        (8, 4, True, [4, 4]),
        (8, 8, True, [8]),
        (8, 9, True, [8]),  # fewer images than one batch: Dassl keeps them
        (8, 1, True, [1] * 8),
    ],
)
def test_batches_of_an_epoch(images, size, drop_last, steps):
    config = TrainConfig(batch_size=size, drop_last=drop_last)
    batches = batches_of(images, config, torch.Generator().manual_seed(1))
    assert [len(batch) for batch in batches] == steps
    order = torch.randperm(images, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.cat(batches), order[: sum(steps)])


def test_an_epoch_without_its_last_batch(tiny_backbone):
    """Its accuracy is over the images that were trained on."""
    config = cases.settings("coop", batch_size=3, drop_last=True, epochs=1, learning_rate=0.0,
                            warmup_epochs=0)  # fmt: skip
    pair = cases.make_pair(config, tiny_backbone)
    data = with_images(pair)
    _, record = fit(pair.model, tiny_backbone.text, data, config, torch.Generator().manual_seed(5))
    chosen = torch.randperm(8, generator=torch.Generator().manual_seed(5))[:6]
    classes = ClassTokens.from_names(tiny_backbone.text.tokens, data.class_names)
    images = data.train.features[chosen, 0]
    _, logits = step_losses(
        pair.model, tiny_backbone.text, classes, images, data.train_labels[chosen], data, config
    )
    right = (logits.argmax(dim=-1) == data.train_labels[chosen]).float().mean()
    assert record.train_accuracy == pytest.approx(100 * float(right))
