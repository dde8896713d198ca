"""What does not fit the method or the CLIP is refused before a run's folder is made."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from mocoop.classifiers.saved import open_classifier, run_backbone
from mocoop.errors import UserError
from mocoop.presets import preset, settings_from, settings_of_run
from mocoop.runs.formats import FORMAT
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment
from tests.support.tiny_data import picture_folder, tiny_checkpoint

TWO_GROUPS = {"photo": ("a photo of a {}.",), "toy": ("a toy {}.", "a plastic {}.")}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The settings that name a folder of pictures and a tiny CLIP."""
    folder = tmp_path_factory.mktemp("places")
    pictures, clip = picture_folder(folder / "pictures"), tiny_checkpoint(folder / "clip")
    return {"data": pictures, "backbone": clip, "shots": 2}


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("coop", {"learn_context": False}, "nothing to learn: learn_context is off"),
        ("coop", {"learned_tokens": 9}, "learned_tokens is 9, but the prompt starts with only"),
        ("coop", {"text_depth": 2, "context_init": "words", "name_position": "front"},
         "no token before the class name that later blocks"),
        ("zero-shot", {"learned_tokens": 9}, "learned_tokens is 9"),
        ("zero-shot", {"conditional": True}, "so conditional .True. has no meaning"),
        ("ensemble", {"text_depth": 2}, "so text_depth .2. has no meaning"),
        ("linear-probe", {"vision_depth": 1, "image_cache": False}, "so vision_depth .1. has no"),
        ("linear-probe", {"tune_layer_norms": True, "image_cache": False}, "so tune_layer_norms"),
        ("tip-adapter", {"lora_rank": 2, "image_cache": False}, "so lora_rank .2. has no meaning"),
        ("coop", {"context_init": "random", "context_tokens": 76}, "has 81 tokens, but this CLIP"),
        ("zero-shot", {"groups": {"long": ("very " * 80 + "{}.",)}}, "reads at most 77. Shorten"),
        ("linear-probe", {"views": 4}, "probe does not use views, which is 4: leave it out"),
        ("tip-adapter", {"image_cache": False}, "Tip-Adapter learns on cached image features"),
        ("linear-probe", {"image_cache": False, "augment": "crops"}, "turn image_cache on and"),
        ("taskres", {"optimizer": "adamw"}, "TaskRes does not use optimizer, which is adamw"),
        ("maple", {"learned_tokens": 0, "text_depth": 1, "vision_depth": 1},
         "vision_prompts is 2, but 4 tokens .* Set vision_prompts to 4, or learned_tokens to 2"),
        ("coop", {"groups": TWO_GROUPS}, "one prompt, but there are 2 groups .*photo, toy"),
        ("ensemble", {"groups": TWO_GROUPS}, "ensemble has one prompt, but there are 2 groups"),
        ("taskres", {"groups": TWO_GROUPS}, "taskres has one prompt, but there are 2 groups"),
    ],
    ids=str,
)  # fmt: skip
def test_misfits_are_refused_before_anything_is_written(
    method, changes, message, places, tmp_path
):
    config = replace(preset(method), **(places | changes))
    if config.epochs:
        config = replace(config, epochs=1)
    with pytest.raises(UserError, match=message):
        list(run_experiment(config, tmp_path / "run", tmp_path / "cache"))
    assert not (tmp_path / "run").exists()


def test_an_older_run_with_settings_that_it_ignored_still_opens(places, tmp_path):
    """Earlier versions trained a linear probe whatever the image tower was asked to learn."""
    run = Run(tmp_path / "run")
    for _ in run_experiment(replace(preset("linear-probe"), **places), run.path, tmp_path / "c"):
        pass
    before = open_classifier(run)
    path = run.path / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["config"] |= {"tune_layer_norms": True, "image_cache": False}
    path.write_text(json.dumps(values), encoding="utf-8")
    assert run.setup().config.tune_layer_norms
    features = torch.eye(16)[:3]
    found = open_classifier(run).classify(features).probabilities
    assert torch.equal(found, before.classify(features).probabilities)
    assert run_backbone(run).tuned is None


def test_coupled_tokens_need_a_context_of_all_classes():
    shallow = replace(preset("maple"), text_depth=1, vision_depth=1)
    with pytest.raises(UserError, match=r"With coupling .* Turn class_context or coupling off"):
        replace(shallow, class_context=True)


def test_an_older_run_with_image_tokens_that_it_ignored_opens_as_it_was_trained():
    """Earlier versions took any number beside coupling, and computed as many as were learned."""
    values = preset("maple").to_dict() | {"vision_prompts": 4}
    assert settings_of_run(values, FORMAT) == preset("maple")
    every = values | {"learned_tokens": 0}  # the words of the prompt decide
    assert settings_of_run(every, FORMAT).vision_prompts == 4
    with pytest.raises(UserError, match="Set vision_prompts to 2"):
        settings_from(values)
