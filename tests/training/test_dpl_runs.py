"""Whole runs of DPL: the search and the training, how they go on, and what opens them again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from mocoop.classifiers.export import export_run, load_export
from mocoop.classifiers.saved import open_classifier, restore_model, run_backbone
from mocoop.cli.console import print_results
from mocoop.clip.backbone import load_backbone
from mocoop.errors import UserError
from mocoop.features.encode import encode_images
from mocoop.presets import preset, settings_of_run
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.runs.chosen_lengths import lengths_in_words
from mocoop.runs.run import Run
from mocoop.storage.images import open_image
from mocoop.training import experiment, search_stage
from mocoop.training.experiment import resume_experiment, run_experiment
from mocoop.training.image_sources import CachedImages
from mocoop.training.length_search import SearchOptimizer, search_lengths
from mocoop.training.snapshots import load_snapshot
from tests.parity.test_rivals import NAMES, settings
from tests.support.deep_clip import deep_backbone
from tests.support.method_cases import features_of, product
from tests.support.tiny_data import picture_folder, tiny_checkpoint

CHANGES = {
    "shots": 2, "epochs": 3, "save_every": 1, "batch_size": 3, "length_batch": 2, "seed": 3,
    "vision_depth": 1, "text_depth": 2, "vision_prompts": 2, "text_prompts": 3,
    "length_epochs": 3, "length_rate": 0.3, "learning_rate": 0.02, "precision": "fp32",
}  # fmt: skip


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A finished run with random crops, its settings and its folder."""
    root = tmp_path_factory.mktemp("dpl")
    data, backbone = picture_folder(root / "pictures"), tiny_checkpoint(root / "clip")
    config = replace(preset("dpl", backbone), data=data, **CHANGES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOCOOP_CACHE", str(root / "cache"))
        list(run_experiment(config, root / "run"))
    return Run(root / "run"), config, root


@pytest.fixture(autouse=True)
def no_waiting(parts, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(parts[2] / "cache"))
    monkeypatch.setattr(experiment, "SNAPSHOT_SECONDS", 0.0)


def test_the_choice_is_stored_with_its_margins(parts, capsys):
    run, config, _ = parts
    search, weights = {f["tower"]: f for f in run.results()["search"]}, run.weights()
    for side, prefix, blocks in (("vision", "vision.", 1), ("text", "prompts.keys.", 2)):
        found = search[side]
        assert len(found["lengths"]) == len(found["margins"]) == blocks
        for length, margin, shares in zip(
            found["lengths"], found["margins"], found["shares"], strict=True
        ):
            first, second, *_ = sorted(shares, reverse=True)
            assert shares[length] == first
            assert margin == pytest.approx(first - second)
        counts = [len(weights[f"{prefix}values.{block}"]) for block in range(blocks)]
        assert counts == found["lengths"]
    said = lengths_in_words(run.results())
    assert f"image tower {search['vision']['lengths'][0]} (ahead by" in said
    print_results(run.results())
    assert said in capsys.readouterr().out
    assert not any("alphas" in name for name in weights)
    assert run.setup().config == replace(config, groups=run.setup().groups)
    assert settings_of_run(json.loads(json.dumps(config.to_dict()))) == config


def assert_same(run, again):
    for name in ("weights.safetensors", "features.safetensors"):
        first, second = load_file(run.path / name), load_file(again.path / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(value, second[key]) for key, value in first.items())
    times = {"seconds": 0.0}
    assert [r | times for r in run.records()] == [r | times for r in again.records()]
    assert run.results()["search"] == again.results()["search"]


@pytest.mark.long
@pytest.mark.parametrize("epoch", [1, 3])
def test_resumed_in_the_search_equals_uninterrupted(parts, tmp_path, monkeypatch, epoch):
    run, config, _ = parts

    def stopped(*args):
        for done in search_lengths(*args):
            yield done
            if done == epoch:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(search_stage, "search_lengths", stopped)
        with pytest.raises(KeyboardInterrupt):
            list(run_experiment(config, tmp_path / "parts"))
    snapshot = load_snapshot(tmp_path / "parts")
    assert (snapshot.searched, snapshot.in_search) == (epoch, True)
    assert {"model/vision.alphas", "model/prompts.keys.alphas"} <= set(snapshot.tensors)
    assert [record.epoch for record in resume_experiment(tmp_path / "parts")] == [0, 1, 2, 3]
    assert_same(run, Run(tmp_path / "parts"))


def test_resumed_in_the_training_equals_uninterrupted(parts, tmp_path):
    run, config, _ = parts
    training = run_experiment(config, tmp_path / "parts")
    for record in training:
        if record.epoch == 2:
            break
    training.close()
    assert [record.epoch for record in resume_experiment(tmp_path / "parts")] == [3]
    assert_same(run, Run(tmp_path / "parts"))


def test_what_is_saved_answers_as_the_run(parts, tmp_path):
    """The restored model, and an export, with the numbers of tokens that were chosen."""
    run, config, root = parts
    setup, backbone = run.setup(), load_backbone(config.backbone)
    model = restore_model(setup, run.weights(), backbone)
    classes = ClassTokens.from_names(backbone.text.tokens, setup.class_names)
    found = model.text_features(backbone.text, classes)
    torch.testing.assert_close(found, run.features().last, rtol=1e-5, atol=1e-6)
    export_run(run, tmp_path / "out", onnx=False)
    exported = load_export(tmp_path / "out")
    images = [open_image(root / "pictures" / "test" / "red cup" / "0.png")[0]]
    features = encode_images(exported.image_backbone(), images)
    expected = encode_images(run_backbone(run), images)
    assert torch.equal(features, expected)
    one = exported.classifier.classify(features).probabilities
    assert torch.equal(one, open_classifier(run).classify(expected).probabilities)


def test_what_does_not_fit_is_refused_before_anything_is_written(parts, tmp_path):
    _, config, _ = parts
    for changes, words in (
        ({"validation": "train"}, "validation images, and there are none"),
        ({"text_depth": 3}, "text_depth is 3, but this CLIP's text tower has only 2 blocks"),
        ({"vision_depth": 2}, "vision_depth is 2"),
    ):
        with pytest.raises(UserError, match=words):
            list(run_experiment(replace(config, **changes), tmp_path / "run"))
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("source", ["validation", "train"])
def test_the_alphas_see_random_batches_of_images_that_the_tokens_do_not_see(source):
    """Not the same first batch in every step, as in the released program."""
    backbone, seen = deep_backbone(), {"train": [], "val": []}

    class Recorded(CachedImages):
        def batch(self, model, chosen, epoch, generator):
            part = "train" if self is data.train else "val"
            seen[part].append(chosen.tolist())
            return super().batch(model, chosen, epoch, generator)

    config = settings(
        "dpl", vision_depth=0, image_cache=True, text_depth=3, length_epochs=4, length_batch=2,
        augment="none", length_images=source, batch_size=4,
    )  # fmt: skip
    model, data = product(config, backbone, NAMES, len(NAMES))
    labels = torch.arange(8) % len(NAMES)
    images = lambda seed: Recorded(features_of(8, backbone.text.dim, seed)[:, None])
    data = replace(data, train=images(1), train_labels=labels, val=images(2), val_labels=labels)
    before = model.prompts.keys.alphas.detach().clone()
    optimizer, generator = SearchOptimizer(model, config), torch.Generator().manual_seed(1)
    args = (model, backbone.text, data, config, generator, optimizer)
    assert list(search_lengths(*args)) == [1, 2, 3, 4]
    assert not torch.equal(model.prompts.keys.alphas, before)
    if source == "validation":
        held, own = seen["val"], seen["train"]
    else:  # the alphas' batch comes first in every step
        held, own = seen["train"][::2], seen["train"][1::2]
        assert not seen["val"]
        assert not {i for rows in held for i in rows} & {i for rows in own for i in rows}
    assert len(held) == len(own) == {"validation": 8, "train": 4}[source]
    assert {len(rows) for rows in held} == {2}
    assert len({tuple(rows) for rows in held}) > len(held) // 2
