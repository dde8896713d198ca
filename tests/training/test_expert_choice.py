"""Experts that are chosen before a training, by short trainings."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from mocoop.datasets.base import Dataset
from mocoop.errors import UserError
from mocoop.presets import identity, preset
from mocoop.runs.chosen_on_test import chosen_on_test, in_words
from mocoop.runs.expert_steps import ExpertStep, choice_in_words
from mocoop.runs.run import Run
from mocoop.training import experiment, expert_choice
from mocoop.training.experiment import resume_experiment, run_experiment
from mocoop.training.expert_choice import Trial, _fits, _merged, _proposals, _split, short

GROUPS = {
    "photo": ("a photo of a {}.", "a clear photo of a {}."),
    "sketch": ("a sketch of a {}.", "a drawing of a {}."),
    "dark": ("a dark photo of a {}.",),
}


def config_of(**changes):
    start = replace(preset("mocoop"), data="details", shots=1, epochs=2, save_every=1)
    return replace(start, **({"groups": GROUPS, "num_experts": "auto"} | changes))


def test_proposals():
    """Experts with the same images are merged, rare ones left out, and mixed ones split."""
    weights = torch.tensor([[0.6, 0.4, 0.0]] * 9 + [[0.0, 0.0, 1.0]])
    liking = torch.zeros(10, 5)
    liking[:4, 0] = liking[4:, 1] = 1.0  # two kinds of images, each with its template
    found = {one.change: one for one in _proposals(Trial(GROUPS, 50.0, weights, liking), 1)}
    assert list(found["merge"].groups) == ["photo + sketch", "dark"]
    assert found["merge"].groups["photo + sketch"] == (*GROUPS["photo"], *GROUPS["sketch"])
    assert list(found["drop"].groups) == ["photo", "sketch"]
    split = found["split"].groups
    assert list(split) == ["photo 1", "photo 2", "sketch", "dark"]
    assert {split["photo 1"], split["photo 2"]} == {(one,) for one in GROUPS["photo"]}
    # With K experts per image there are no fewer than K, and at least two.
    kinds = {one.change for one in _proposals(Trial(GROUPS, 50.0, weights, liking), 3)}
    assert kinds == {"split"}


@pytest.mark.parametrize("taken", ["photo 1", "photo 2", "photo + sketch", "photo + sketch 1"])
def test_no_templates_are_lost_where_names_collide(taken):
    groups = {**GROUPS, taken: ("an old photo of a {}.",)}
    trial = Trial(groups, 50.0, torch.zeros(1, 4), torch.zeros(1, 6))
    split = _split(trial, 0, (["a photo of a {}."], ["a clear photo of a {}."]))
    merged = _merged(trial, 0, 1)
    assert (len(split), len(merged)) == (5, 3)
    for changed in (split, merged):
        assert sorted(sum(changed.values(), ())) == sorted(sum(groups.values(), ()))
        assert changed[taken] == groups[taken]


def test_halves_that_start_no_prompt_are_not_tried(tiny_backbone):
    """With text_depth a prompt needs a token before the name that later blocks can replace."""
    groups = {"photo": ("a photo of a {}.", "{} here."), "dark": ("a dark {}.",)}
    config = config_of(groups=groups, num_experts="auto", text_depth=2, num_chosen=1)
    named = SimpleNamespace(class_names=("cup", "bowl"))
    prepared = SimpleNamespace(config=config, backbone=tiny_backbone, dataset=named)
    assert _fits(prepared, groups)
    assert not _fits(prepared, {"photo 1": ("a photo of a {}.",), "photo 2": ("{} here.",)})


@pytest.mark.long
def test_a_run_chooses_and_resumes(tmp_path, monkeypatch):
    """A stopped run goes on with the experts it has chosen, to the same bits."""
    monkeypatch.setattr(expert_choice, "ROUNDS", 1)
    monkeypatch.setattr(experiment, "SNAPSHOT_SECONDS", 0.0)
    whole, stopped = (Run(tmp_path / name) for name in ("whole", "stopped"))
    for _ in run_experiment(config_of(), whole.path):
        pass
    setup = whole.setup()
    assert setup.expert_steps[0].change == "start"
    assert setup.config.groups == setup.groups
    kept = [step for step in setup.expert_steps if step.kept]
    assert len(setup.experts) == kept[-1].count
    assert len(whole.features().last) == len(setup.experts)
    training = run_experiment(config_of(), stopped.path)
    next(record for record in training if record.epoch == 1)
    training.close()
    for _ in resume_experiment(stopped.path):
        pass
    assert stopped.setup() == setup
    for name, weights in whole.weights().items():
        assert torch.equal(stopped.weights()[name], weights)


def test_what_cannot_be_chosen(tmp_path):
    path = tmp_path / "run"
    for changes, message in (
        ({"validation": "train"}, "there are none"),
        ({"groups": {"all": GROUPS["photo"]}, "num_chosen": 1}, "only one expert"),
    ):
        with pytest.raises(UserError, match=message):
            next(run_experiment(config_of(**changes), path))
    assert not path.exists()


def test_experts_are_not_chosen_on_test_images(tmp_path, monkeypatch):
    """On ImageNet the validation images are the test images."""
    monkeypatch.setattr(Dataset, "val_is_test", property(lambda self: True))
    with pytest.raises(UserError, match="are its test images"):
        next(run_experiment(config_of(), tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    before = replace(config_of(), data="imagenet")  # a run of a version that did so
    assert in_words(chosen_on_test(before, {})).startswith("The experts were chosen")


def test_off_by_default():
    config = preset("mocoop")
    assert config.num_experts == "groups"
    assert "num_experts" not in identity(config)
    assert short(replace(config, epochs=10, warmup_epochs=9)).warmup_epochs == 3
    with pytest.raises(UserError, match="num_experts"):
        replace(config, num_experts="six")


def test_in_words():
    start = ExpertStep("start", (), 3, 50.0, True)
    merge = ExpertStep("merge", ("photo", "dark"), 2, 55.0, True)
    split = ExpertStep("split", ("sketch",), 4, 40.0, False)
    assert choice_in_words(()) == ""
    assert choice_in_words((start, split)) == (
        "All 3 experts stayed: in 2 short trainings, no other choice was better on the "
        "validation images (50.0 %)."
    )
    assert choice_in_words((start, merge, split)) == (
        "3 experts became 2 by 3 short trainings: photo and dark became one (from 50.0 to 55.0 % "
        "of the validation images)."
    )
