"""Settings: presets, every check with its message, and the way through JSON."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.presets import preset, settings_from

GROUPS = {"photo": ("a photo of a {}.",), "art": ("art of a {}.", "a drawing of a {}.")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "mocop"}, r"Unknown method 'mocop'.*Did you mean 'mocoop'\?"),
        ({"method": "maples"}, r"expected one of zero-shot, .*, mocoop-ln, mocoop-all-ln"),
        ({"classes": "new"}, r"Unknown classes 'new': expected one of all, base"),
        ({"text_scale": "two"}, r"Unknown text_scale 'two': expected one of one, logit"),
        ({"text_classes": "base"}, r"Unknown text_classes 'base': expected one of seen, all"),
        ({"text_target": "mean"}, r"Unknown text_target 'mean': expected one of prototype, templ"),
        ({"context_init": "noise"}, r"Unknown context_init 'noise': expected one of template, w"),
        ({"name_position": "top"}, r"Unknown name_position 'top': .* one of end, middle, front"),
        ({"text_softmax": "both"}, r"Unknown text_softmax 'both': expected one of hard, soft"),
        ({"text_templates": "lasp"}, r"Unknown text_templates 'lasp': expected one of own, fixed"),
        ({"text_templates": "fixed"}, r"none of them is the prompt.s start\. Choose context_init"),
        ({"warmup_groups": "own"}, r"Unknown warmup_groups 'own': expected one of scaled, same"),
        ({"validation": "none"}, r"Unknown validation 'none': expected one of few, all, train"),
        ({"text_noise": -0.1}, r"text_noise must be at least 0; got -0\.1"),
        ({"align_weight": -1.0}, r"align_weight must be at least 0; got -1\.0"),
        ({"align_temperature": 0.0}, r"align_temperature must be greater than 0; got 0\.0"),
        ({"shots": -2}, r"shots must be at least 1, or all; got -2"),
        ({"gate_target": "softmax"}, r"Unknown gate_target 'softmax': .* hard, scaled, soft"),
        ({"schedule": "linear"}, r"Unknown schedule 'linear': expected one of cosine, constant"),
        ({"warmup": "cosine"}, r"Unknown warmup 'cosine': expected one of constant, linear"),
        ({"precision": "fp8"}, r"Unknown precision 'fp8': expected one of auto, fp32, bf16, fp16"),
        ({"augment": "mixup"}, r"Unknown augment 'mixup': expected one of none, crops"),
        ({"search": "random"}, r"Unknown search 'random': expected one of own, published"),
        ({"key_views": -1}, r"key_views must be at least 0; got -1"),
        ({"shots": 0}, r"shots must be at least 1, or all; got 0"),
        ({"num_chosen": 0}, r"num_chosen must be at least 1; got 0"),
        ({"batch_size": -3}, r"batch_size must be at least 1; got -3"),
        ({"views": 0}, r"views must be at least 1; got 0"),
        ({"save_every": 0}, r"save_every must be at least 1; got 0"),
        ({"context_tokens": 0}, r"context_tokens must be at least 1; got 0"),
        ({"context_init": "random", "name_position": "middle", "context_tokens": 1},
         r"context_tokens must be at least 2; got 1"),
        ({"epochs": -1}, r"epochs must be at least 0; got -1"),
        ({"warmup_epochs": -1}, r"warmup_epochs must be at least 0; got -1"),
        ({"text_weight": -0.5}, r"text_weight must be at least 0; got -0\.5"),
        ({"gate_weight": -1.0}, r"gate_weight must be at least 0; got -1\.0"),
        ({"anchor_weight": -1.0}, r"anchor_weight must be at least 0; got -1\.0"),
        ({"gate_rate": -1.0}, r"gate_rate must be at least 0; got -1\.0"),
        ({"layer_norm_rate": -1.0}, r"layer_norm_rate must be at least 0; got -1\.0"),
        ({"learning_rate": float("nan")}, r"learning_rate must be at least 0; got nan"),
        ({"learning_rate": float("inf")}, r"learning_rate must be at least 0; got inf"),
        ({"momentum": -0.1}, r"momentum must be at least 0; got -0\.1"),
        ({"weight_decay": -0.1}, r"weight_decay must be at least 0; got -0\.1"),
        ({"warmup_rate": -0.1}, r"warmup_rate must be at least 0; got -0\.1"),
        ({"clip_norm": -1.0}, r"clip_norm must be at least 0; got -1\.0"),
        ({"seed": -1}, r"seed must be from 0 to 4294967295; got -1"),
        ({"seed": 2**32}, r"seed must be from 0 to 4294967295; got 4294967296"),
        ({"groups": {}}, r"at least one group of templates"),
        ({"groups": {"a": ()}}, r"Group 'a' has no template"),
        ({"groups": {"a": ("photo",), "b": ("{}",)}}, r"needs {} exactly once"),
        ({"groups": GROUPS, "num_chosen": 3}, r"num_chosen is 3, but there are only 2 experts"),
        ({"tune_layer_norms": True}, r"tune_layer_norms changes the image features.*cached"),
        ({"augment": "crops"}, r"augment crops changes the image features.*turn image_cache off"),
        ({"image_cache": False, "views": 2}, r"views is 2, but .* image_cache is off"),
        ({"text_depth": 0}, r"text_depth must be at least 1; got 0"),
        ({"vision_prompts": 0}, r"vision_prompts must be at least 1; got 0"),
        ({"vision_depth": -1}, r"vision_depth must be at least 0; got -1"),
        ({"learned_tokens": -1}, r"learned_tokens must be at least 0; got -1"),
        ({"vision_rate": -1.0}, r"vision_rate must be at least 0; got -1\.0"),
        ({"vision_depth": 2}, r"vision_depth changes the image features.*cached"),
        ({"method": "maple", "coupling": True, "image_cache": False, "text_depth": 2},
         r"text_depth is 2 and vision_depth 0\. Give both the same depth"),
        ({"method": "maple", "coupling": True, "image_cache": False, "vision_depth": 1,
          "learned_tokens": 2, "vision_prompts": 4},
         r"vision_prompts is 4, but 2 tokens .* Set vision_prompts to 2, or learned_tokens to 4"),
        ({"text_depth": 2, "class_context": True}, r"turn class_context off"),
        ({"vision_insertion": "add"}, r"Unknown vision_insertion 'add': expected one of replace"),
        ({"router_input": "both"}, r"Unknown router_input 'both': expected one of tuned, frozen"),
        ({"text_insertion": "keys", "text_lengths": (2, 1)}, r"Got 2 lengths \(2, 1\), text_dep"),
        ({"text_lengths": (2,)}, r"text_lengths gives .* and text_insertion replace"),
        ({"text_insertion": "keys", "text_lengths": (-1,)}, r"number of tokens, 0 or more"),
        ({"text_insertion": "keys", "lora_rank": 1, "image_cache": False}, r"go neither with"),
        ({"text_insertion": "keys", "text_depth": 2, "conditional": True, "condition_from": 1},
         r"nor with a vector that is added to the tokens of later blocks"),
        ({"text_insertion": "keys", "length_epochs": 1, "aggregation": "gaussian"},
         r"A search of lengths .* nor with aggregation"),
        ({"length_epochs": 1}, r"no block has such tokens"),
        ({"length_images": "test"}, r"Unknown length_images 'test': expected one of validation"),
        ({"class_context": True, "classes": "base"}, r"new classes have none\. Train on all"),
    ],
)  # fmt: skip
def test_checks(changes, message):
    """Each setting out of range is refused, and replacing settings checks again."""
    with pytest.raises(UserError, match=message):
        TrainConfig(**changes)
    with pytest.raises(UserError, match=message):
        dataclasses.replace(TrainConfig(), **changes)


def test_lengths_come_from_a_file_as_a_list():
    values = {"method": "dpl", "vision_depth": 2, "vision_lengths": [3, 0]}
    assert settings_from(values).vision_lengths == (3, 0)
    with pytest.raises(UserError, match=r"vision_lengths expects whole numbers, got \[3, 0\.5\]"):
        settings_from(values | {"vision_lengths": [3, 0.5]})


@pytest.mark.parametrize("method", ["cocoop", "mocoop-cond"])
@pytest.mark.parametrize("changes", [{"align_gradient": True}, {"class_context": True}])
def test_conditional_contexts_are_shared_by_all_classes(method, changes):
    """What has no meaning beside a prompt that changes with every image is refused."""
    with pytest.raises(UserError, match="A conditional context changes with every image"):
        dataclasses.replace(preset(method), **changes)


@pytest.mark.parametrize(("depth", "first"), [(1, 1), (3, 3), (3, 7)])
def test_an_image_changes_only_blocks_with_learned_tokens(depth, first):
    changes = {"text_depth": depth, "condition_from": first}
    with pytest.raises(
        UserError, match=rf"condition_from is {first}, .* blocks, 0 to {depth - 1}"
    ):
        dataclasses.replace(preset("mocoop-cond"), **changes)
    dataclasses.replace(preset("mocoop-cond"), text_depth=depth, condition_from=depth - 1)


@pytest.mark.parametrize("method", [m for m in METHODS if not METHODS[m].learns_in_epochs])
def test_untrained_methods_have_no_epochs(method):
    """A method that is not trained in epochs says so."""
    with pytest.raises(
        UserError, match=rf"{re.escape(method)} is not trained .* must be 0; got 3"
    ):
        TrainConfig(method=method, epochs=3)


@pytest.mark.parametrize(
    "changes", [{"seed": 0}, {"seed": 2**32 - 1}, {"epochs": 0}, {"clip_norm": 0.0}, {"shots": 1}]
)
def test_limits_are_allowed(changes):
    """The ends of the ranges are good values."""
    assert dataclasses.asdict(TrainConfig(**changes)).items() >= changes.items()


def test_settings_cannot_be_changed():
    """A config is a value."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().shots = 2


@pytest.mark.parametrize("method", METHODS)
def test_presets(method):
    """Each method's preset is of that method, and survives JSON."""
    config = preset(method)
    assert config.method == method
    assert settings_from(json.loads(json.dumps(config.to_dict()))) == config
    assert settings_from({"method": method}) == config


def test_coop_is_one_prompt_without_the_extras():
    """The CoOp preset switches off what CoOp does not have."""
    config = preset("coop")
    extras = (config.text_weight, config.gate_weight, config.correction, config.learn_after)
    assert extras == (0.0, 0.0, False, False)
    assert config.num_chosen == 1
    assert preset("coop", "ViT-B-16-quickgelu/openai").learning_rate == 0.002
    assert preset("zero-shot").epochs == 0


def test_unknown_preset():
    """An unknown method has no preset."""
    with pytest.raises(UserError, match=r"Unknown method 'cop'.*Did you mean 'coop'\?"):
        preset("cop")


def test_round_trip_with_groups():
    """Groups come back from JSON in order, as tuples."""
    config = TrainConfig(groups=GROUPS, seed=3, data="details", learning_rate=0.01)
    again = settings_from(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.groups == GROUPS
    assert list(again.groups) == ["photo", "art"]


def test_missing_keys_take_the_preset():
    """A dictionary of few keys is the preset with those keys changed."""
    config = settings_from({"method": "coop", "shots": 4})
    assert config == dataclasses.replace(preset("coop"), shots=4)
    assert settings_from({}) == preset("mocoop")


def test_whole_numbers_serve_as_floats():
    """JSON and forms write 1 for 1.0."""
    config = settings_from({"clip_norm": 2})
    assert config.clip_norm == 2.0
    assert isinstance(config.clip_norm, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shot": 4}, r"Unknown setting 'shot': .*Did you mean 'shots'\?"),
        ({"shots": "4"}, r"Setting shots expects int, got str \('4'\)"),
        ({"shots": 4.0}, r"Setting shots expects int, got float \(4\.0\)"),
        ({"shots": True}, r"Setting shots expects int, got bool \(True\)"),
        ({"shots": None}, r"Setting shots expects int, got NoneType"),
        ({"correction": 1}, r"Setting correction expects bool, got int \(1\)"),
        ({"clip_norm": "1"}, r"Setting clip_norm expects float, got str"),
        ({"clip_norm": True}, r"Setting clip_norm expects float, got bool \(True\)"),
        ({"data": 5}, r"Setting data expects str, got int \(5\)"),
        ({"method": 5}, r"Unknown method '5'"),
        ({"groups": "a photo of a {}."}, r"Groups are expected as a mapping.*got"),
        ({"groups": {"a": 5}}, r"Groups are expected as a mapping.*got"),
        ({"groups": {"a": [5]}}, r"Groups are expected as a mapping.*got"),
        ({"search": "random"}, r"Unknown search 'random': expected one of own, published"),
        ({"key_views": -1}, r"key_views must be at least 0; got -1"),
        ({"shots": 0}, r"shots must be at least 1, or all; got 0"),
    ],
)  # fmt: skip
def test_dictionaries_are_checked(values, message):
    """A key that is no setting, and a value of another type, are refused."""
    with pytest.raises(UserError, match=message):
        settings_from(values)


def test_num_chosen_is_checked_against_the_experts():
    """More experts than there are cannot be chosen."""
    TrainConfig(num_chosen=3).check_num_chosen(3)
    with pytest.raises(UserError, match=r"only 2 experts .*Choose 1 to 2, or add groups"):
        TrainConfig(num_chosen=3).check_num_chosen(2)
