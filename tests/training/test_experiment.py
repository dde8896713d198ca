"""Runs from settings to results: what they leave on disk, whatever happens to them."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mocoop.classifiers.saved import open_classifier
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import evaluate, route_items
from mocoop.evaluation.measures import harmonic_mean
from mocoop.evaluation.paired import pair_test_of_counts
from mocoop.features.cache import FeatureCache
from mocoop.presets import preset
from mocoop.runs.run import Run, list_runs, open_run
from mocoop.training.experiment import run_experiment
from tests.support.soft_prompts import encode_texts

ROOT = Path(__file__).parents[2]


def small(method="mocoop", **changes):
    values = {"data": "details", "shots": 1, "epochs": 2} | changes
    return dataclasses.replace(preset(method), **values)


def test_finished_run_can_be_read_back(finished_run, demo_backbone):
    setup = finished_run.setup()
    assert finished_run.status().state == "finished"
    assert setup.config.data == "details"
    assert setup.trained_classes == 16
    assert setup.backbone_fingerprint == demo_backbone.fingerprint
    features = finished_run.features()
    assert list(features.soft) == [0, 1, 2, 3]
    assert features.last.shape == (8, 32, 128)
    torch.testing.assert_close(features.last.norm(dim=-1), torch.ones(8, 32))
    assert [record["epoch"] for record in finished_run.records()] == [0, 1, 2, 3]


def test_untrained_soft_features_are_the_first_templates(finished_run):
    features = finished_run.features()
    first = torch.stack([hard[0] for hard in features.hard])
    torch.testing.assert_close(features.soft[0], first, atol=2e-6, rtol=0)


def test_base_run_reports_base_new_and_their_harmonic_mean(finished_run):
    results = finished_run.results()
    base, new = results["base"]["accuracy"], results["new"]["accuracy"]
    assert results["base"]["num_images"] + results["new"]["num_images"] == 576
    assert results["harmonic_mean"] == pytest.approx(2 * base * new / (base + new))
    assert harmonic_mean(0, 0) == 0
    assert 0 <= results["new"]["style_nmi"] <= 1


def test_accuracies_equal_a_loop_over_images(finished_run, demo_backbone, workspace):
    dataset = load_dataset("details")
    cache = FeatureCache(demo_backbone)
    found = route_items(open_classifier(finished_run), dataset, cache, "new")
    features = finished_run.features()
    weights = finished_run.weights()
    hits = {}
    for item in found.items:
        f = cache.features(dataset, [item])[0, 0]
        scores = weights["gate.weight"] @ f + weights["gate.bias"]
        best = scores.topk(2)
        shares = best.values.softmax(0)
        logits = sum(
            share * (features.last[g] @ f)
            for share, g in zip(shares, best.indices.tolist(), strict=True)
        )
        right = int(logits[16:].argmax()) + 16 == item.label
        hits.setdefault(item.style, []).append(right)
    result = evaluate(found, "new")
    everything = [right for part in hits.values() for right in part]
    assert result.accuracy == pytest.approx(100 * sum(everything) / len(everything))
    for style, rights in hits.items():
        assert result.per_style[style] == pytest.approx(100 * sum(rights) / len(rights))
    assert sum(result.expert_usage.values()) == pytest.approx(1, abs=1e-5)


def test_zero_shot_is_the_plain_template_untrained(workspace, demo_backbone):
    path = workspace / "runs" / "zero"
    list(run_experiment(small("zero-shot", epochs=0), path))
    dataset = load_dataset("details")
    text = encode_texts(demo_backbone.text, [f"a photo of a {n}." for n in dataset.class_names])
    items = dataset.items("test")
    features = FeatureCache(demo_backbone).features(dataset, items)[:, 0]
    predicted = (features @ text.T).argmax(dim=1).tolist()
    right = [p == item.label for p, item in zip(predicted, items, strict=True)]
    expected = 100 * sum(right) / len(right)
    assert Run(path).results()["all"]["accuracy"] == pytest.approx(expected)


def test_results_say_what_the_untrained_prompt_reaches(finished_run, demo_backbone):
    """Each half beside the plain template on the same images, told apart among the same names."""
    dataset = load_dataset("details")
    names = dataset.class_names
    for choice, labels in (("base", range(16)), ("new", range(16, 32))):
        text = encode_texts(
            demo_backbone.text, [f"a photo of a {names[label]}." for label in labels]
        )
        items = dataset.items("test", labels)
        features = FeatureCache(demo_backbone).features(dataset, items)[:, 0]
        predicted = (features @ text.T).argmax(dim=1).tolist()
        right = [p + labels[0] == item.label for p, item in zip(predicted, items, strict=True)]
        expected = 100 * sum(right) / len(right)
        assert finished_run.results()[choice]["zero_shot"] == pytest.approx(expected)


@pytest.mark.long
def test_same_seed_same_run_in_two_processes(workspace):
    outputs = []
    for hash_seed in ("1", "2"):
        path = workspace / "runs" / f"hash-{hash_seed}"
        command = [sys.executable, "-m", "mocoop", "train", "--data", "digits", "--shots", "1"]
        command += ["--epochs", "2", "--classes", "base", "--run", str(path), "--json"]
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        outputs.append(
            (json.loads(done.stdout)["results"], load_file(path / "weights.safetensors"))
        )
    (first, first_weights), (second, second_weights) = outputs
    first.pop("training_seconds")
    second.pop("training_seconds")
    assert first == second
    assert first_weights.keys() == second_weights.keys()
    assert all(torch.equal(first_weights[name], second_weights[name]) for name in first_weights)


def test_another_seed_gives_another_run(workspace):
    found = []
    for seed in (1, 2):
        path = workspace / "runs" / f"seed-{seed}"
        list(run_experiment(small(seed=seed), path))
        found.append(Run(path).weights()["gate.weight"])
    assert not torch.equal(*found)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_training_never_looks_finished(workspace, signum):
    path = workspace / "runs" / f"stopped-{signum}"
    command = [sys.executable, "-m", "mocoop", "train", "--data", "details", "--epochs", "5000"]
    command += ["--run", str(path), "--quiet"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (path.exists() and len(Run(path).records()) > 2):
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signum)
    process.communicate(timeout=60)
    expected = "cancelled" if signum == signal.SIGTERM else "interrupted"
    assert Run(path).status().state == expected
    assert Run(path).results() == {}
    with pytest.raises(UserError, match=f"{expected}, not finished"):
        open_classifier(Run(path))


def test_mistakes_leave_nothing_behind(workspace):
    for changes, words in {
        ("data", "nowhere"): "Unknown data set",
        ("backbone", "ViT-B-99/openai"): "Unknown backbone",
        ("num_chosen", 12): "only 8 experts",
    }.items():
        path = workspace / "runs" / "mistake"
        with pytest.raises(UserError, match=words):
            list(run_experiment(small(**dict([changes])), path))
        assert not path.exists()


def test_run_folder_is_never_overwritten(finished_run, tmp_path):
    with pytest.raises(UserError, match="holds a run already"):
        list(run_experiment(small(), finished_run.path))
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="not empty"):
        list(run_experiment(small(), tmp_path))
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_diverging_loss_is_told_and_the_run_marked_failed(workspace):
    path = workspace / "runs" / "diverged"
    with pytest.raises(UserError, match="smaller learning rate"):
        list(run_experiment(small(learning_rate=1e30, clip_norm=0.0, epochs=6), path))
    status = Run(path).status()
    assert status.state == "failed"
    assert "no longer a finite number" in status.message


def test_incomplete_and_foreign_runs_are_named(finished_run, tmp_path):
    for path in finished_run.path.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    run = Run(tmp_path)
    (tmp_path / "features.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match="damaged"):
        run.features()
    (tmp_path / "features.safetensors").unlink()
    with pytest.raises(UserError, match="did not finish"):
        run.features()
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"format": 99}))
    with pytest.raises(UserError, match="format 99"):
        run.setup()
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json"):
        run.setup()
    (tmp_path / "status.json").unlink()
    with pytest.raises(UserError, match="not a complete run"):
        open_run(tmp_path)


def test_half_written_record_is_left_out(finished_run, tmp_path):
    text = (finished_run.path / "metrics.jsonl").read_text()
    (tmp_path / "metrics.jsonl").write_text(text + '{"epoch": 4, "los')
    assert len(Run(tmp_path).records()) == 4


def test_runs_are_listed_newest_first(finished_run, workspace, tmp_path):
    found = list_runs([workspace / "runs", tmp_path])
    started = [run.status().started for run in found]
    assert started == sorted(started, reverse=True)
    assert finished_run in found


def test_text_loss_over_all_names_changes_training(workspace):
    found = []
    for choice in ("seen", "all"):
        path = workspace / "runs" / f"text-{choice}"
        list(run_experiment(small(classes="base", text_classes=choice), path))
        found.append(Run(path).records()[-1]["losses"]["text"])
    assert found[1] > found[0]  # more names to tell apart


def test_forced_expert_takes_all_the_weight(finished_run):
    classifier = open_classifier(finished_run)
    image_features = torch.nn.functional.normalize(torch.randn(3, 128), dim=-1)
    free = classifier.classify(image_features)
    forced = free.forced(4)
    assert torch.equal(forced.weights.argmax(dim=1), torch.full((3,), 4))
    assert torch.equal(forced.weights.sum(dim=1), torch.ones(3))
    torch.testing.assert_close(forced.probabilities, forced.expert_probabilities[:, 4])
    assert torch.equal(forced.scores, free.scores)
    assert ((free.weights > 0).sum(dim=1) == 2).all()


def test_results_have_a_paired_test_against_zero_shot(finished_run):
    results = finished_run.results()
    for choice in ("base", "new"):
        part = results[choice]
        pair = pair_test_of_counts(**part["against_zero_shot"])
        assert pair.images == part["num_images"]
        right = pair.both + pair.only_first
        assert 100 * right / pair.images == pytest.approx(part["accuracy"], abs=1e-4)
        assert pair.difference == pytest.approx(part["accuracy"] - part["zero_shot"], abs=1e-4)


def test_the_first_record_has_zero_shot_on_the_same_validation_images(workspace):
    """CoOp starts from the zero-shot template, so it begins at its accuracy."""
    run = Run(workspace / "zero-shot-line")
    list(run_experiment(small("coop", classes="base", epochs=1), run.path))
    first, second = run.records()
    assert first["zero_shot"] == pytest.approx(first["val_accuracy"], abs=1e-4)
    assert second["zero_shot"] is None
