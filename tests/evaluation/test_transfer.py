"""A trained run on other data: the same prompts around other names."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mocoop.classifiers.saved import open_classifier, run_backbone
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.evaluation.transfer import classifier_for, evaluate_on
from mocoop.features.cache import FeatureCache
from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment
from tests.support import reference

SLOW = ("cocoop", "mocoop-ln", "mocoop-cond")


def small_run(path, method, **changes):
    """Returns a finished run of a method on the digits, one shot and at most two epochs."""
    config = replace(preset(method), data="digits", shots=1)
    config = replace(config, epochs=min(config.epochs, 2), **changes)
    for _ in run_experiment(config, path):
        pass
    return Run(path)


@pytest.mark.parametrize(
    "method",
    ["ensemble", "coop", "mocoop", *(pytest.param(key, marks=pytest.mark.long) for key in SLOW)],
)
def test_on_its_own_data_a_run_is_what_it_was(method, tmp_path, workspace):
    run = small_run(tmp_path / "run", method)
    found = evaluate_on(run, load_dataset("digits"))
    assert found["accuracy"] == pytest.approx(run.results()["all"]["accuracy"], abs=0.2)
    assert found["num_images"] == 540


def test_other_names_go_through_the_same_prompts(finished_run, demo_backbone, workspace):
    """Text features of another set equal the plain encoder's, one prompt after the other."""
    dataset = load_dataset("digits")
    found = classifier_for(finished_run, finished_run.setup(), dataset, demo_backbone)
    weights = finished_run.weights()
    befores = [weights[f"prompts.before.{g}"] for g in range(2)]
    afters = [weights[f"prompts.after.{g}"] for g in range(2)]
    with torch.no_grad():
        plain = reference.encode_prompts(
            demo_backbone.model,
            demo_backbone.text.tokens.tokenizer,
            befores,
            dataset.class_names[:3],
            afters,
        )
    soft = F.normalize(plain + weights["correction"], dim=-1)
    torch.testing.assert_close(found.soft[:2, :3], soft, atol=2e-6, rtol=1e-5)


def test_a_transfer_is_kept_with_the_run(tmp_path, workspace, monkeypatch):
    run = small_run(tmp_path / "run", "coop")
    first = evaluate_on(run, load_dataset("details"))

    def fail(*arguments):
        raise AssertionError("computed again")

    monkeypatch.setattr("mocoop.evaluation.transfer.classifier_for", fail)
    assert evaluate_on(run, load_dataset("details")) == first


@pytest.mark.parametrize("method", ["linear-probe", "tip-adapter", "taskres", "lp++"])
def test_methods_bound_to_their_classes_refuse_others(method, tmp_path, workspace):
    run = small_run(tmp_path / "run", method)
    with pytest.raises(
        UserError, match=re.escape(f"{method} knows only the classes of digits, and details")
    ):
        evaluate_on(run, load_dataset("details"))


def test_an_adapter_classifies_other_classes_by_their_names(tmp_path, workspace):
    """The network is kept, and the run's own template gets the names of the other data set."""
    run = small_run(tmp_path / "run", "clip-adapter")
    details = load_dataset("details")
    clip = run_backbone(run)
    found = classifier_for(run, run.setup(), details, clip)
    assert found.class_names == details.class_names
    template = run.setup().groups["prompt"][0]
    text = clip.text.encode_template(template, details.class_names)
    torch.testing.assert_close(found.text, text)
    torch.testing.assert_close(found.adapter.up, run.weights()["up"])
    assert 0 < evaluate_on(run, details)["accuracy"] < 100


def test_a_probe_can_tell_some_of_its_own_classes_apart(tmp_path, workspace):
    """A target with a part of the classes (as ImageNet-R has) is asked among those alone."""
    run = small_run(tmp_path / "run", "linear-probe")
    digits = load_dataset("digits")
    kept = (7, 2)
    items = {
        split: tuple(
            replace(item, label=kept.index(item.label)) for item in digits.items(split, kept)
        )
        for split in digits.splits
    }
    names = tuple(digits.class_names[label] for label in kept)
    target = replace(digits, name="two", class_names=names, splits=items)
    clip = run_backbone(run)
    found = classifier_for(run, run.setup(), target, clip)
    features = FeatureCache(clip).features(digits, digits.items("test", [2])[:4])[:, 0]
    whole = open_classifier(run).classify(features).probabilities[:, list(kept)]
    cut = found.classify(features).probabilities
    torch.testing.assert_close(cut, whole / whole.sum(dim=-1, keepdim=True))


def test_two_classes_of_one_name_are_not_guessed_at(tmp_path, workspace, demo_backbone):
    """ImageNet's list has such names; a probe finds its classes again by name alone."""
    run = small_run(tmp_path / "run", "tip-adapter")
    setup = run.setup()
    names = ("zero", "zero", *setup.class_names[2:])
    with pytest.raises(UserError, match="digits has two classes with the same name"):
        classifier_for(
            run, replace(setup, class_names=names), load_dataset("digits"), demo_backbone
        )
