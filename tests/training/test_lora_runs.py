"""Whole runs of CLIP-LoRA: what they save, how they go on, and what opens them again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from mocoop.classifiers.export import export_run, load_export
from mocoop.classifiers.saved import open_classifier, restore_model, run_backbone
from mocoop.clip.backbone import load_backbone
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.evaluation.transfer import classifier_for, measure_on
from mocoop.features.encode import encode_images
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.runs.run import Run
from mocoop.storage.images import open_image
from mocoop.training import experiment
from mocoop.training.batches import epoch_batches, step_counts
from mocoop.training.experiment import resume_experiment, run_experiment
from mocoop.training.optimizer import rate_after
from tests.support.tiny_data import picture_folder, tiny_checkpoint

CHANGES = {"shots": 2, "epochs": 4, "save_every": 2, "batch_size": 3, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A finished run with random crops and steps per shot, its settings and its pictures."""
    root = tmp_path_factory.mktemp("lora")
    data, backbone = picture_folder(root / "pictures"), tiny_checkpoint(root / "clip")
    config = replace(
        preset("clip-lora", backbone), data=data, **CHANGES, steps_per_shot=7, precision="fp32"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOCOOP_CACHE", str(root / "cache"))
        list(run_experiment(config, root / "run"))
    return Run(root / "run"), config, root


def test_a_run_has_learned(parts):
    run, _, _ = parts
    assert run.status().state == "finished"
    weights = run.weights()
    assert weights["lora.image_up"].abs().max() > 0
    assert weights["lora.text_up"].abs().max() > 0
    soft = run.features().soft
    assert list(soft) == [0, 2, 4]
    assert not torch.equal(soft[0], soft[4])
    torch.testing.assert_close(soft[0], run.features().prototypes, rtol=1e-5, atol=1e-5)


def test_resumed_equals_uninterrupted(parts, tmp_path, monkeypatch):
    """AdamW's state, the dropout and the crops go on as if nothing had stopped."""
    run, config, root = parts
    monkeypatch.setenv("MOCOOP_CACHE", str(root / "cache"))
    monkeypatch.setattr(experiment, "SNAPSHOT_SECONDS", 0.0)
    training = run_experiment(config, tmp_path / "parts")
    for record in training:
        if record.epoch == 2:
            break
    training.close()
    assert [record.epoch for record in resume_experiment(tmp_path / "parts")] == [3, 4]
    again = Run(tmp_path / "parts")
    for name in ("weights.safetensors", "features.safetensors"):
        first, second = load_file(run.path / name), load_file(again.path / name)
        assert all(torch.equal(value, second[key]) for key, value in first.items())
    times = {"seconds": 0.0}
    assert [r | times for r in run.records()] == [r | times for r in again.records()]


def test_restored_model_and_saved_features_agree(parts):
    run, config, _ = parts
    setup, backbone = run.setup(), load_backbone(config.backbone)
    model = restore_model(setup, run.weights(), backbone)
    classes = ClassTokens.from_names(backbone.text.tokens, setup.class_names)
    found = model.text_features(backbone.text, classes)
    torch.testing.assert_close(found, run.features().last, rtol=1e-5, atol=1e-6)


def test_other_class_names_are_read_by_the_updated_text_tower(parts, monkeypatch):
    run, config, root = parts
    monkeypatch.setenv("MOCOOP_CACHE", str(root / "cache"))
    dataset = load_dataset("details")
    backbone = run_backbone(run)
    found = classifier_for(run, run.setup(), dataset, backbone)
    plain = backbone.text.encode_template("a photo of a {}.", dataset.class_names)
    assert found.soft.shape[1] == len(dataset.class_names)
    assert (found.soft[0] - plain).abs().max() > 1e-3
    own = measure_on(run, load_dataset(config.data))
    assert own.accuracy == pytest.approx(run.results()["all"]["accuracy"])


def test_an_export_answers_as_the_run(parts, tmp_path):
    run, _, root = parts
    picture = root / "pictures" / "test" / "red cup" / "0.png"
    export_run(run, tmp_path / "out", onnx=False)
    exported = load_export(tmp_path / "out")
    images = [open_image(picture)[0]]
    features = encode_images(exported.image_backbone(), images)
    expected = encode_images(run_backbone(run), images)
    assert torch.equal(features, expected)
    frozen = encode_images(load_backbone(run.setup().config.backbone), images)
    assert (features - frozen).abs().max() > 1e-3
    one = exported.classifier.classify(features).probabilities
    assert torch.equal(one, open_classifier(run).classify(expected).probabilities)


def test_updates_beside_a_mixture_of_prompts(parts, tmp_path, monkeypatch):
    _, config, root = parts
    monkeypatch.setenv("MOCOOP_CACHE", str(root / "cache"))
    groups = {"photo": ("a photo of a {}.",), "art": ("art of the {}.",)}
    both = replace(
        preset("mocoop"),
        **{"data": config.data, "backbone": config.backbone, "groups": groups, "shots": 1},
        **{"epochs": 1, "warmup_epochs": 0, "image_cache": False, "lora_rank": 1},
    )
    list(run_experiment(both, tmp_path / "both"))
    run = Run(tmp_path / "both")
    assert run.weights()["lora.text_up"].abs().max() > 0
    assert run.features().last.shape[0] == 2
    own = measure_on(run, load_dataset(config.data))
    assert own.accuracy == pytest.approx(run.results()["all"]["accuracy"])


def test_what_does_not_fit_is_refused_before_anything_is_written(parts, tmp_path):
    _, config, _ = parts
    for changes in ({"lora_rank": 33}, {"vision_depth": 2}):
        with pytest.raises(UserError, match=r"lora_rank is 33|vision_depth is 2"):
            list(run_experiment(replace(config, **changes), tmp_path / "run"))
        assert not (tmp_path / "run").exists()


def test_steps_and_rates_of_the_published_recipe():
    """500 steps per shot in 20 parts; the rate is that of a cosine over all steps."""
    config = replace(preset("clip-lora", "ViT-B-16-quickgelu/openai"), shots=4)
    counts = step_counts(400, 100, config)
    assert (sum(counts), len(counts), set(counts)) == (2000, 20, {100})
    everything = replace(config, shots=-1)
    assert sum(step_counts(350, 100, everything)) == 2000
    uneven = step_counts(6, 3, replace(config, shots=1, steps_per_shot=7, epochs=3))
    assert uneven == [2, 2, 3]
    assert rate_after(0, 2000, config) == pytest.approx(2e-4)
    assert rate_after(1000, 2000, config) == pytest.approx((2e-4 + 1e-6) / 2)
    assert rate_after(2000, 2000, config) == pytest.approx(1e-6)


def test_every_pass_has_crops_of_its_own():
    config = replace(preset("clip-lora", "other"), batch_size=3, steps_per_shot=10, epochs=2)
    counts = step_counts(6, 3, replace(config, shots=1))
    generator = torch.Generator().manual_seed(0)
    seen = []
    for epoch in (1, 2):
        steps = epoch_batches(6, counts, epoch, config, generator)
        assert len(steps) == counts[epoch - 1] == 5
        numbers = [number for _, number in steps]
        seen += sorted(set(numbers))
        for number in set(numbers):  # a pass has every image at most once
            drawn = torch.cat([chosen for chosen, own in steps if own == number]).tolist()
            assert len(drawn) == len(set(drawn))
    assert seen == [1, 2, 3, 4, 5, 6]


def test_without_steps_per_shot_an_epoch_is_one_pass():
    config = replace(preset("coop"), batch_size=4, epochs=3)
    counts = step_counts(10, 5, config)
    assert counts == [3, 3, 3]
    generator = torch.Generator().manual_seed(0)
    steps = epoch_batches(10, counts, 2, config, generator)
    assert [number for _, number in steps] == [2, 2, 2]
    assert sorted(torch.cat([chosen for chosen, _ in steps]).tolist()) == list(range(10))
