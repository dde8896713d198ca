"""Texts that no step changes are encoded once for a whole training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mocoop.model.mixture import PromptMixture
from mocoop.presets import preset
from mocoop.training.image_sources import CachedImages
from mocoop.training.loop import fit, fixed_texts
from tests.support import method_cases as cases
from tests.support.deep_clip import deep_backbone

GROUPS = {"prompt": ("a photo of a {}.",)}


class Seen(CachedImages):
    """Images that go through the image tower in every step."""


@pytest.mark.parametrize(("method", "calls"), [("vpt", 1), ("ivlp", 7)])
def test_texts_are_encoded_as_often_as_they_change(monkeypatch, method, calls):
    """VPT once; IVLP in each of four steps, and for the records of epochs 0 to 2."""
    backbone = deep_backbone()
    config = replace(preset(method), epochs=2, batch_size=4, vision_depth=1, groups=GROUPS)
    model, data = cases.product(config, backbone, cases.NAMES, len(cases.NAMES))
    labels = torch.arange(8) % len(cases.NAMES)
    visual, pictures = backbone.model.visual, torch.randn(8, 3, 32, 32)
    images = Seen(cases.features_of(8)[:, None])
    monkeypatch.setattr(
        Seen,
        "batch",
        lambda self, model, chosen, *rest: model.training_features(visual, pictures[chosen]),
    )
    data = replace(data, train=images, train_labels=labels)
    counted = []
    encode = PromptMixture.text_features
    monkeypatch.setattr(
        PromptMixture, "text_features", lambda *args: counted.append(1) or encode(*args)
    )
    records = list(fit(model, backbone.text, data, config, torch.Generator().manual_seed(1)))
    assert len(records) == 3
    assert len(counted) == calls


@pytest.mark.parametrize("method", ["coop", "lasp", "clip-lora", "mocoop", "cocoop"])
def test_learned_texts_are_not_fixed(tiny_backbone, method):
    """A context, a vector, low-rank updates, or an image changes the texts."""
    config = replace(preset(method), groups=GROUPS, num_chosen=1)
    model, data = cases.product(config, tiny_backbone, cases.NAMES, len(cases.NAMES))
    assert model.tunes_texts
    assert fixed_texts(model, tiny_backbone.text, None) is None
    assert data.num_trained == len(cases.NAMES)
