"""TaskRes, CLIP-Adapter and LP++: sizes, choices, bad input, and runs from settings to export."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from mocoop.classifiers import blended_probe
from mocoop.classifiers.base import accuracy_of
from mocoop.classifiers.blended_probe import (
    OWN_FACTORS,
    BlendedProbe,
    first_values,
    fit_blended_probe,
)
from mocoop.classifiers.export import export_run, load_export
from mocoop.classifiers.feature_adapter import FeatureAdapter, adapted_features, new_adapter
from mocoop.classifiers.saved import open_classifier
from mocoop.classifiers.task_residual import TaskResidual
from mocoop.config import TrainConfig
from mocoop.datasets.in_memory import GivenFeatures
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import evaluate, route_items
from mocoop.evaluation.test_results import choices_of
from mocoop.features.cache import FeatureCache
from mocoop.methods import METHODS
from mocoop.presets import preset
from mocoop.protocols.tuning import tune
from mocoop.runs.run import Run
from mocoop.training.baselines import fit_baseline, fitted
from mocoop.training.experiment import run_experiment
from mocoop.training.feature_training import adapter_learner, residual_learner
from mocoop.training.prepare import prepare
from tests.support.method_cases import features_of
from tests.support.tiny_data import picture_folder, tiny_checkpoint

LEARNERS = ("taskres", "clip-adapter")
ALL = (*LEARNERS, "lp++")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A function that returns the prepared inputs of a small run."""
    root = tmp_path_factory.mktemp("features")
    clip, data = tiny_checkpoint(root / "clip"), picture_folder(root / "pictures")

    def prepared(method, **changes):
        base = replace(preset(method, clip), precision="fp32", data=data, shots=2)
        if base.epochs:
            base = replace(base, epochs=3)
        return prepare(replace(base, **changes))

    return prepared


def fit(prepared):
    """Returns the weights of a fit, and its last record."""
    text = prepared.backbone.text.encode_template("a {}.", prepared.dataset.class_names)
    return fitted(fit_baseline(prepared, text, FeatureCache(prepared.backbone)))


# --- Sizes and starts ---


def test_numbers_of_learned_values():
    """Classes × dim, 2 dim × dim / 4, and classes × (dim + 2), at ViT-B/16's 512 dimensions."""
    dim, classes = 512, 100
    config = preset("taskres", "ViT-B-16-quickgelu/openai")
    residual = residual_learner(torch.ones(classes, dim), 100.0, config)
    assert sum(part.numel() for part in residual.learned) == 51_200
    generator = torch.Generator().manual_seed(0)
    text = features_of(classes, dim)
    adapter = adapter_learner(text, 100.0, replace(config, residual_ratio=0.2), generator)
    assert sum(part.numel() for part in adapter.learned) == 131_072
    first = first_values(features_of(8, dim), torch.arange(8), text, 250.0)
    assert sum(part.numel() for part in first) == 51_400


def test_an_untrained_residual_is_the_plain_prompt(workspace, inputs):
    """After no epochs the text features are those of the template."""
    prepared = inputs("taskres", epochs=0)
    weights, record = fit(prepared)
    template, names = prepared.groups["prompt"][0], prepared.dataset.class_names
    expected = prepared.backbone.text.encode_template(template, names)
    torch.testing.assert_close(TaskResidual.from_tensors(weights).text, expected)
    assert record.epoch == 0
    assert weights["base"].norm(dim=-1).sub(1).abs().min() > 0.1  # raw, not normalised


def test_raw_features_of_several_templates_are_averaged(workspace, inputs):
    groups = {"prompt": ("a photo of a {}.", "art of the {}.")}
    prepared = inputs("taskres", epochs=0, groups=groups)
    tower, names = prepared.backbone.text, prepared.dataset.class_names
    pair = [tower.encode_template_raw(template, names) for template in groups["prompt"]]
    torch.testing.assert_close(fit(prepared)[0]["base"], (pair[0] + pair[1]) / 2)


def test_a_network_starts_as_a_linear_layer_of_pytorch():
    down, up = new_adapter(64, torch.Generator().manual_seed(1))
    assert (down.shape, up.shape) == ((16, 64), (64, 16))
    for part, fan_in in ((down, 64), (up, 16)):
        bound = fan_in**-0.5
        assert 0.95 * bound < float(part.abs().max()) <= bound


def test_the_length_of_features_makes_no_difference():
    """Without a bias the network scales with its input."""
    features = features_of(5)
    parts = new_adapter(16, torch.Generator().manual_seed(1))
    lengths = torch.tensor([[0.1], [1.0], [3.0], [20.0], [500.0]])
    expected = adapted_features(features, *parts, 0.3)
    torch.testing.assert_close(adapted_features(lengths * features, *parts, 0.3), expected)
    torch.testing.assert_close(adapted_features(features, *parts, 0.0), features)
    torch.testing.assert_close(expected.norm(dim=-1), torch.ones(5))


# --- Training ---


@pytest.mark.parametrize("method", LEARNERS)
def test_a_record_of_every_epoch_and_a_falling_loss(workspace, inputs, method):
    prepared = inputs(method, epochs=12, learning_rate=0.05, views=3)
    text = prepared.backbone.text.encode_template("a {}.", prepared.dataset.class_names)
    records = list(fit_baseline(prepared, text, FeatureCache(prepared.backbone)))
    assert [record.epoch for record in records] == list(range(13))
    losses = [record.losses["classification"] for record in records[1:]]
    assert losses[-1] < losses[0]
    assert records[0].losses == {}
    assert all(record.val_accuracy is not None for record in records)


@pytest.mark.parametrize("method", LEARNERS)
def test_same_seed_same_weights(workspace, inputs, method):
    first, second = (fit(inputs(method, seed=4))[0] for _ in range(2))
    other, _ = fit(inputs(method, seed=5))
    learned = "residual" if "residual" in first else "up"
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first[learned], other[learned])


def test_views_are_drawn_from_the_cache(workspace, inputs):
    """With several views every step sees one of them; they are encoded once."""
    plain, _ = fit(inputs("taskres"))
    varied, _ = fit(inputs("taskres", views=4))
    assert not torch.equal(plain["residual"], varied["residual"])


def test_what_cannot_be_learned_is_told(workspace, inputs):
    with pytest.raises(UserError, match=r"with clip-adapter: expected 0 to 1, got 1\.5"):
        inputs("clip-adapter", residual_ratio=1.5)
    assert inputs("taskres", residual_ratio=1.5).config.residual_ratio == 1.5
    with pytest.raises(UserError, match=r"TaskRes learns on cached image features.*set views"):
        fit(inputs("taskres", image_cache=False, augment="crops"))
    with pytest.raises(UserError, match=r"finite number in epoch 2, step 1.*1e\+38"):
        fit(inputs("clip-adapter", learning_rate=1e38, warmup_epochs=0))
    with pytest.raises(UserError, match="residual_ratio must be at least 0"):
        TrainConfig(method="taskres", residual_ratio=-0.1)


@pytest.mark.parametrize("method", ALL)
def test_images_of_one_class_are_refused(workspace, inputs, method):
    prepared = inputs(method)
    one = tuple(item for item in prepared.train_items if item.label == 1)
    with pytest.raises(UserError, match="needs training images of at least two classes, got 1"):
        fit(replace(prepared, train_items=one))


@pytest.mark.parametrize("method", ALL)
def test_a_class_without_images_and_no_validation_images(workspace, inputs, method):
    """Its text still scores it; without validation images nothing is chosen."""
    prepared = inputs(method, shots=1)
    some = tuple(item for item in prepared.train_items if item.label != 1)
    weights, record = fit(replace(prepared, train_items=some, val_items=()))
    assert record.val_accuracy is None
    assert all(torch.isfinite(value).all() for value in weights.values())


@pytest.mark.parametrize("method", ALL)
def test_features_instead_of_pictures(workspace, inputs, method):
    """Given features are taken as they are; LP++ has no crops of them."""
    prepared = inputs(method, **({} if method in LEARNERS else {"key_views": 0}))
    items = (*prepared.train_items, *prepared.val_items)
    rows = dict(zip((item.id for item in items), features_of(len(items)).numpy(), strict=True))
    data = prepared.dataset
    given = GivenFeatures("given", data.class_names, {}, data.templates, rows=rows)
    weights, _ = fit(replace(prepared, dataset=given))
    assert weights


# --- LP++ ---


def test_the_best_step_and_factor_on_validation_images_are_kept():
    """Of equally good steps the last, of equally good factors the first."""
    images, texts = features_of(24), features_of(4, seed=1)
    labels = torch.arange(24) % 4
    val, val_labels = features_of(40, seed=2), torch.arange(40) % 4
    found = fit_blended_probe(images, labels, val, val_labels, texts, OWN_FACTORS, steps=30)
    accuracies = {}
    for factor in OWN_FACTORS:
        for steps in range(1, 31):
            one = fit_blended_probe(
                images, labels, val[:0], val_labels[:0], texts, (factor,), steps
            )
            logits = val @ (one.weight + one.blend[:, None] * texts).T + one.bias
            accuracies[factor, steps] = accuracy_of(logits, val_labels)
    best = max(accuracies.values())
    factor = next(f for f in OWN_FACTORS if best in [accuracies[f, s] for s in range(1, 31)])
    steps = max(s for s in range(1, 31) if accuracies[factor, s] == best)
    assert (found.factor, found.steps, found.val_accuracy) == (factor, steps, best)


def test_the_number_of_steps_is_the_authors():
    assert (blended_probe.STEPS, blended_probe.MOMENTUM, blended_probe.BLEND_EVERY) == (
        300,
        0.9,
        10,
    )


# --- Runs ---


@pytest.mark.parametrize("kind", [TaskResidual, FeatureAdapter, BlendedProbe])
def test_weights_of_another_method_are_told(kind):
    with pytest.raises(UserError, match="missing, got soft"):
        kind.from_tensors({"soft": torch.zeros(1)})


@pytest.mark.parametrize("method", [*ALL, "linear-probe"])
def test_a_run_of_the_base_half(workspace, inputs, tmp_path, method):
    """CLIP-Adapter knows new classes; the others have none and say so."""
    prepared = inputs(method, classes="base")
    backbone, dataset = prepared.backbone, prepared.dataset
    list(run_experiment(prepared.config, tmp_path / "run"))
    run = Run(tmp_path / "run")
    results, setup = run.results(), run.setup()
    classifier = open_classifier(run)
    trained = range(setup.trained_classes)
    probabilities = classifier.subset(trained).classify(features_of(5)).probabilities
    torch.testing.assert_close(probabilities.sum(dim=-1), torch.ones(5), check_dtype=False)
    assert probabilities.shape == (5, len(trained))
    everything = range(len(dataset.class_names))
    if method == "clip-adapter":
        assert {"new", "harmonic_mean"}.isdisjoint(results)  # among one class all are right
        assert classifier.subset(everything).classify(features_of(5)).probabilities.shape[1] == 3
        return
    assert "new" not in results
    assert classifier.class_names == setup.class_names[: len(trained)]
    assert classifier.classify(features_of(5)).probabilities.shape == (5, len(trained))
    assert choices_of(setup.config) == ("base",)
    again = route_items(classifier, dataset, FeatureCache(backbone), "base")
    assert evaluate(again, "base").accuracy == results["base"]["accuracy"]
    label = {"taskres": "TaskRes", "lp++": "LP++", "linear-probe": "A linear probe"}[method]
    with pytest.raises(UserError, match=re.escape(f"{label} knows only the {len(trained)}")):
        classifier.subset(everything)
    assert backbone.fingerprint == setup.backbone_fingerprint


@pytest.mark.parametrize("method", ALL)
def test_exported_methods_give_the_same_answers(workspace, inputs, tmp_path, method):
    """TaskRes is text features in the end; the others have an adapter or a bias beside them."""
    from onnx.reference import ReferenceEvaluator

    list(run_experiment(inputs(method, classes="base").config, tmp_path / "run"))
    run = Run(tmp_path / "run")
    export_run(run, tmp_path / "classifier")
    exported = load_export(tmp_path / "classifier")
    known = METHODS[method].trained_classes_only
    classes = range(run.setup().trained_classes if known else len(run.setup().class_names))
    assert exported.setup.class_names == run.setup().class_names[: len(classes)]
    features = features_of(5)
    expected = open_classifier(run).subset(classes).classify(features).probabilities
    torch.testing.assert_close(exported.classifier.classify(features).probabilities, expected)
    card = (tmp_path / "classifier" / "README.md").read_text()
    assert f"# A classifier of {len(classes)} classes" in card
    assert f"(batch, {len(classes)})" in card
    one = exported.classifier.subset([1]).classify(features).probabilities
    torch.testing.assert_close(one, torch.ones(5, 1))
    session = ReferenceEvaluator(str(tmp_path / "classifier" / "head.onnx"))
    (found,) = session.run(["probabilities"], {"image_features": features.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", LEARNERS)
def test_recipes_are_tuned_on_validation_images(workspace, inputs, method):
    config = inputs(method).config
    grid = {"learning_rate": ["0.1"], "residual_ratio": ["0.1", "0.9"]}
    found = list(tune(method, grid, (config.data,), (1,), (1,), config.backbone, epochs=2))
    assert [candidate.changes["residual_ratio"] for candidate in found] == [0.1, 0.9]
    assert all(0 <= candidate.mean <= 100 for candidate in found)


def test_published_recipes_of_a_data_set():
    clip = "ViT-B-16-quickgelu/openai"
    assert preset("taskres", clip).learning_rate == 2e-3
    assert preset("taskres", clip, "imagenet").learning_rate == 2e-4
    assert preset("taskres", clip, "oxford_flowers").residual_ratio == 1.0
    assert preset("clip-adapter", clip).residual_ratio == 0.2
    assert preset("clip-adapter", clip, "imagenet").epochs == 50
    assert (preset("lp++", clip).search, preset("lp++", clip).key_views) == ("published", 1)
    assert (preset("lp++").search, preset("lp++").key_views) == ("own", 0)
