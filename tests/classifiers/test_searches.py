"""The searches for C, alpha and beta: on made-up curves, against loops, and in a training."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mocoop.classifiers import tip_search
from mocoop.classifiers.c_search import own_c, published_c
from mocoop.classifiers.tip_adapter import fit_tip_adapter, tip_logits
from mocoop.classifiers.tip_search import TipSearch, best_mixture, published_search
from mocoop.cli.main import parse
from mocoop.cli.train import TrainCommand
from mocoop.datasets.benchmarks import TABLE
from mocoop.datasets.in_memory import GivenFeatures
from mocoop.errors import UserError
from mocoop.estimator import MoCoOpClassifier
from mocoop.features.cache import FeatureCache
from mocoop.presets import few_shot_preset, preset
from mocoop.training.baselines import fit_baseline, fitted
from mocoop.training.experiment import run_experiment
from mocoop.training.prepare import prepare
from tests.support import reference
from tests.support.method_cases import features_of
from tests.support.tiny_data import picture_folder, tiny_checkpoint

OTHER = "ViT-B-16-quickgelu/openai"
CURVES = {
    "one peak": lambda at: -abs(at - 1.3),
    "a plateau": lambda at: float(-3 < at < 3),
    "flat": lambda at: 50.0,
    "rising": lambda at: at,
    "falling": lambda at: -at,
    "two peaks": lambda at: max(-abs(at - 4.4), -abs(at + 1.8)),
    "steps": lambda at: math.floor(3 * math.sin(at)),
}


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(
    ("search", "plain"),
    [(own_c, reference.probe_peak), (published_c, reference.coops_probe_peak)],
)
def test_c_is_searched_in_the_written_order(curve, search, plain):
    """Every C that is asked for, in order, and the one chosen."""
    asked = []

    def measure(exponent):
        asked.append(exponent)
        return CURVES[curve](exponent)

    found = search(measure)
    tried, peak = plain(lambda c: CURVES[curve](math.log10(c)))
    assert asked == pytest.approx([math.log10(c) for c, _ in tried])
    assert len(asked) == 7 + 2 * 8
    assert found == pytest.approx(math.log10(peak))


def test_published_c_by_hand():
    """Of equal values the largest comes first; of equal ends the left one is kept."""
    assert published_c(lambda at: 1.0) == 5.0
    assert published_c(lambda at: at) == 7.0
    assert own_c(lambda at: 1.0) == 0.0


def test_published_values_of_tip_adapter():
    """Evenly from 0.1 to just below the data set's largest values."""
    flowers = published_search("oxford_flowers")
    assert (len(flowers.betas), len(flowers.alphas)) == (200, 20)
    assert (flowers.alpha, flowers.beta) == (10.0, 1.0)
    for values in (flowers.betas, flowers.alphas):
        steps = np.diff(values)
        assert values[0] == 0.1
        assert steps == pytest.approx(steps[0])
        assert values[-1] + steps[0] == pytest.approx(50.0)
    assert published_search("photos-of-mine") == published_search("imagenet")
    assert set(tip_search._SCALES) <= set(TABLE)


@pytest.mark.parametrize("elements", [1, 200, 2**24])
def test_the_search_in_parts_equals_the_loops(elements, monkeypatch):
    """Classes with different numbers of keys, one of them with none; any size of the parts."""
    monkeypatch.setattr(tip_search, "_ELEMENTS", elements)
    images, keys, texts = features_of(12, 5), features_of(7, 5, 1), features_of(4, 5, 2)
    labels, key_labels = torch.arange(12) % 4, torch.tensor([2, 0, 2, 3, 0, 2, 0])
    search = TipSearch((0.1, 2.0, 9.0), (0.5, 3.0, 12.0, 40.0), 1.0, 1.0)
    found = best_mixture(10.0 * images @ texts.T, images @ keys.T, key_labels, labels, search)
    values = F.one_hot(key_labels, 4)
    accuracy, alpha, beta = reference.best_tip_mixture(
        images, labels, texts, 10.0, keys, values, search.alphas, search.betas
    )
    assert found == (alpha, beta, accuracy)


def test_fine_tuning_takes_every_epochs_own_crops():
    """Two steps by hand: the first on the first epoch's images, the second on the next."""
    keys, crops = features_of(6, 5), torch.stack([features_of(6, 5, s) for s in (1, 2)])
    labels, texts = torch.arange(6) % 3, features_of(3, 5, 3)
    search = TipSearch((1.0,), (1.0,), 3.0, 2.0)
    none = keys[:0], labels[:0]
    found = fit_tip_adapter(
        keys, labels, *none, texts, 10.0, fine_tune=True, generator=torch.Generator(),
        search=search, crops=crops, epochs=2, learning_rate=0.01, batch_size=8,
    )  # fmt: skip
    plain = keys.clone().requires_grad_()
    optimizer = torch.optim.AdamW([plain], 0.01, eps=1e-4)
    for images, rate in zip(crops, (0.01, 0.005), strict=True):
        values = F.one_hot(labels, 3).float()
        logits = reference.tip_logits(images, texts, 10.0, plain, values, 3.0, 2.0)
        optimizer.zero_grad()
        reference.classification_loss(logits, labels).backward()
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    torch.testing.assert_close(found.keys, plain.detach())
    assert (found.alpha, found.beta) == (3.0, 2.0)


def prepared(tmp_path, method, **changes):
    """Returns the prepared inputs of a run on a few pictures, as for another CLIP."""
    clip = tiny_checkpoint(tmp_path / "clip")
    start = replace(preset(method, clip), precision="fp32")
    data = picture_folder(tmp_path / "pictures")
    return prepare(replace(start, data=data, shots=2, **changes))


def test_keys_are_the_mean_of_random_crops(workspace, tmp_path):
    """Ten crops of every image, the same for a seed, and one more in every epoch."""
    inputs = prepared(tmp_path, "tip-adapter")
    assert (inputs.config.key_views, inputs.config.search) == (10, "published")
    cache = FeatureCache(inputs.backbone)
    views = cache.features(inputs.dataset, inputs.train_items, 11, inputs.config.seed)
    expected = F.normalize(views[:, 1:].mean(dim=1), dim=-1)
    text = features_of(3)
    weights, record = fitted(fit_baseline(inputs, text, cache))
    torch.testing.assert_close(weights["keys"], expected)
    assert not torch.allclose(expected, views[:, 0], atol=1e-3)
    val = cache.features(inputs.dataset, inputs.val_items)[:, 0]
    parts = (weights["keys"], weights["values"], weights["alpha"].item(), weights["beta"].item())
    logits = tip_logits(val, text, inputs.backbone.logit_scale, *parts)
    labels = torch.tensor([item.label for item in inputs.val_items])
    right = int((logits.argmax(dim=-1) == labels).sum())
    assert record.val_accuracy == pytest.approx(100 * right / len(val))


def test_crops_of_an_epoch_are_not_those_of_the_keys(workspace, tmp_path):
    inputs = prepared(tmp_path, "tip-adapter-f", epochs=3, key_views=2)
    cache = FeatureCache(inputs.backbone)
    weights, _ = fitted(fit_baseline(inputs, features_of(3), cache))
    views = cache.features(inputs.dataset, inputs.train_items, 6, inputs.config.seed)
    labels = torch.tensor([item.label for item in inputs.train_items])
    val = cache.features(inputs.dataset, inputs.val_items)[:, 0]
    val_labels = torch.tensor([item.label for item in inputs.val_items])
    expected = fit_tip_adapter(
        F.normalize(views[:, 1:3].mean(dim=1), dim=-1), labels, val, val_labels, features_of(3),
        inputs.backbone.logit_scale, fine_tune=True,
        generator=torch.Generator().manual_seed(inputs.config.seed), epochs=3,
        search=published_search("imagenet"), crops=views[:, 3:].transpose(0, 1),
    )  # fmt: skip
    torch.testing.assert_close(weights["keys"], expected.keys)


def test_crops_of_features_are_refused(tmp_path, tiny_backbone):
    inputs = prepared(tmp_path, "tip-adapter")
    items = (*inputs.train_items, *inputs.val_items)
    rows = dict(zip((item.id for item in items), features_of(len(items)).numpy(), strict=True))
    names, templates = inputs.dataset.class_names, inputs.dataset.templates
    given = GivenFeatures("given", names, {}, templates, rows=rows)
    with pytest.raises(UserError, match=r"key_views is 10, but random crops need pictures.* to 0"):
        next(
            fit_baseline(
                replace(inputs, dataset=given), features_of(3), FeatureCache(tiny_backbone)
            )
        )


def test_an_estimator_takes_features_as_keys(tmp_path):
    """Features have no crops, so that its default is none for them."""
    clip = tiny_checkpoint(tmp_path / "clip")
    estimator = MoCoOpClassifier("tip-adapter", clip, val_shots=1, random_state=0)
    labels = np.arange(12) % 3
    config = estimator.fit(features_of(12).numpy(), labels).run_.setup().config
    assert (config.key_views, config.search) == (0, "published")
    estimator.set_params(settings={"key_views": 2})
    with pytest.raises(ValueError, match="key_views is 2, but random crops need pictures"):
        estimator.fit(features_of(12).numpy(), labels)


@pytest.mark.parametrize("method", ["linear-probe", "tip-adapter", "tip-adapter-f"])
def test_a_published_run_of_another_clip(workspace, tmp_path, method):
    """From the settings to the test; the settings are kept with the run."""
    config = prepared(tmp_path, method).config
    list(run_experiment(config, tmp_path / "run"))
    saved = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert saved["search"] == "published"
    assert saved["key_views"] == (0 if method == "linear-probe" else 10)


def test_recipes_of_a_data_set():
    """EuroSAT has more epochs; the built-in CLIP keeps our searches and centre crops."""
    assert preset("tip-adapter-f", OTHER, "eurosat").epochs == 100
    assert preset("tip-adapter-f", OTHER, "dtd").epochs == 20
    assert preset("tip-adapter-f", OTHER).epochs == 20
    assert few_shot_preset("tip-adapter-f", OTHER, "eurosat", 16).epochs == 100
    options = ["--data", "eurosat", "--method", "tip-adapter-f", "--backbone", OTHER]
    assert parse("train", TrainCommand, options).settings == preset(*options[3::2], "eurosat")
    for method in ("linear-probe", "tip-adapter", "tip-adapter-f"):
        demo = preset(method, data="eurosat")
        assert (demo.search, demo.key_views, demo.data) == ("own", 0, "eurosat")
        assert demo.epochs in (0, 20)
