"""A finished run whose prompts see the image: its answers, its routing, and the saved weights."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from mocoop.classifiers.pictures import ImageClassifier
from mocoop.classifiers.prompts import ConditionalClassifier
from mocoop.classifiers.saved import open_classifier, restore_model, run_backbone
from mocoop.cli.main import main
from mocoop.datasets.given_images import read_pictures
from mocoop.errors import UserError
from mocoop.evaluation.occlusion import occlusion
from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment
from tests.support import method_cases as cases
from tests.support.tiny_data import picture_folder, tiny_checkpoint

DEEP = {"text_depth": 2, "condition_from": 1, "shift_per_expert": True}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two finished runs, the second with learned tokens in two blocks, and a picture."""
    root = tmp_path_factory.mktemp("conditional")
    data, backbone = picture_folder(root / "pictures"), tiny_checkpoint(root / "clip")
    groups = cases.GROUPS | {"sketch": ("a drawing of {}.",)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOCOOP_CACHE", str(root / "cache"))
        for name, changes in (("plain", {}), ("deep", DEEP)):
            config = replace(preset("mocoop-cond"), data=data, backbone=backbone, shots=2)
            config = replace(config, epochs=2, learning_rate=0.5, groups=groups, **changes)
            list(run_experiment(config, root / name))
    found = {name: Run(root / name) for name in ("plain", "deep")}
    return found, root / "pictures" / "test" / "red cup" / "0.png"


@pytest.mark.parametrize("name", ["plain", "deep"])
def test_a_run_answers_with_its_router(runs, name):
    """K experts per image; a subset of the classes; and all experts with equal weight."""
    run = runs[0][name]
    classifier = open_classifier(run)
    assert isinstance(classifier, ConditionalClassifier)
    with pytest.raises(UserError, match="only as it was at the end of training"):
        open_classifier(run, epoch=1)
    assert classifier.experts == run.setup().experts == ("photo", "art", "sketch")
    features = cases.features_of(5, dim=classifier.tower.dim)
    routed = classifier.classify(features)
    assert ((routed.weights > 0).sum(dim=1) == 2).all()
    torch.testing.assert_close(routed.probabilities.sum(dim=1), torch.ones(5))
    few = classifier.subset([1, 0]).classify(features)
    assert few.class_names == tuple(routed.class_names[label] for label in (1, 0))
    ratio = routed.probabilities[:, 1] / routed.probabilities[:, 0]
    torch.testing.assert_close(few.probabilities[:, 0] / few.probabilities[:, 1], ratio)
    everyone = classifier.with_all_experts().classify(features)
    assert torch.equal(everyone.weights, torch.full((5, 3), 1 / 3))
    assert torch.equal(everyone.scores, routed.scores)
    chosen = routed.weights > 0
    same = everyone.expert_probabilities[chosen]
    torch.testing.assert_close(routed.expert_probabilities[chosen], same)


def test_results_have_the_value_of_routing(runs):
    results = runs[0]["plain"].results()["all"]
    value = results["routing_value"]
    assert value["router"] == results["accuracy"]
    assert set(value["per_expert"]) == {"photo", "art", "sketch"}
    assert value["oracle"] >= max(value["per_expert"].values()) - 1e-4


def test_predict_names_the_experts(runs, capsys):
    found, picture = runs
    assert main(["predict", str(found["deep"].path), str(picture), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["images"][0]
    assert len(answer["experts"]) == 2
    assert sum(answer["experts"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "changes",
    [{"text_depth": 1, "condition_from": 0}, {"shift_per_expert": False}],
)
def test_weights_of_other_settings_are_refused(runs, changes):
    run = runs[0]["deep"]
    setup = run.setup()
    other = replace(setup, config=replace(setup.config, **changes))
    with pytest.raises(UserError, match="weights do not match its settings"):
        restore_model(other, run.weights(), run_backbone(run))


def test_covering_a_picture_compares_prompts_that_see_it(runs):
    """Also those of an expert that is not chosen, or not with the square: all see the picture."""
    found, picture = runs
    classifier = ImageClassifier.from_run(found["plain"])
    with Image.open(picture) as image:
        covered = occlusion(
            classifier.encoder, classifier.classifier, image.convert("RGB"), 0.5, 2
        )
    inner = classifier.classifier
    feature = classifier.features(read_pictures([picture]))
    everyone = inner.with_all_experts().classify(feature).expert_probabilities
    torch.testing.assert_close(covered.plain.expert_probabilities, everyone)
    usual = inner.classify(feature)
    torch.testing.assert_close(covered.plain.probabilities, usual.probabilities)
    assert not torch.allclose(usual.expert_probabilities, everyone, atol=1e-6)
    assert covered.difference(0, 1, 0).shape == (2, 2)
