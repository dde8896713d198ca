"""The methods' presets, settings from plain values, and the differences from a preset."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mocoop.config import DEMO, TrainConfig
from mocoop.errors import UserError, choose_from
from mocoop.methods import find_method
from mocoop.older import FIRST, as_trained, migrated
from mocoop.shots import ALL, ALL_SHOTS

_NOT_IN_PRESET = ("data", "method", "backbone", "shots", "seed", "classes", "style", "groups")
_NAMES_PRESET = ("method", "backbone", "data")  # settings that choose the others' defaults
FEW_SHOT_RECIPE = {"recipe": "few-shot"}
"""The difference of a run whose method has a recipe of its own for the few-shot protocol."""

LONGEST, LARGEST = 4096, 2**53  # characters and whole numbers in settings

_BEFORE: dict[str, Any] = {
    "validation": "few",
    "text_templates": "own",
    "text_softmax": "hard",
    "text_noise": 0.0,
    "align_weight": 1.0,
    "align_temperature": 1.0,
    "drop_last": False,
    "warmup_groups": "scaled",
    "deterministic": False,
    "key_views": 0,
    "search": "own",
    "residual_ratio": 0.5,
    "learned_tokens": 0,
    "learn_context": True,
    "text_depth": 1,
    "text_consistency": 0.0,
    "image_consistency": 0.0,
    "logit_consistency": 0.0,
    "consistency_templates": "own",
    "consistency_mean": "raw",
    "aggregation": "none",
    "aggregation_mean": 15.0,
    "aggregation_std": 1.0,
    "vision_depth": 0,
    "vision_prompts": 4,
    "expert_vision_depth": 0,
    "vision_insertion": "replace",
    "vision_lengths": (),
    "text_insertion": "replace",
    "text_prompts": 4,
    "text_lengths": (),
    "length_epochs": 0,
    "length_images": "validation",
    "length_rate": 0.0035,
    "length_batch": 16,
    "coupling": False,
    "vision_rate": 1.0,
    "router_input": "tuned",
    "steps_per_shot": 0,
    "optimizer": "sgd",
    "schedule_by": "epoch",
    "final_rate": 0.0,
    "lora_rank": 0,
    "lora_alpha": 1.0,
    "lora_dropout": 0.25,
    "condition_from": 0,
    "zero_shift": False,
    "shift_per_expert": False,
    "num_experts": "groups",
}
"""What version 0.1 did, before these were settings."""
# Settings that do not change the result, or only its last bits.
_WITHOUT_EFFECT = ("device", "save_every", "deterministic")


def preset(method: str, backbone: str = DEMO, data: str = "") -> TrainConfig:
    """Returns the default settings of a method: the published ones, or the demo CLIP's.

    Args:
        method: a key of `METHODS`.
        backbone: the CLIP; the demo's recipe is for the demo CLIP, the published one for others.
        data: the data set, where the published recipe differs between them; it is set only if
            given.

    Raises:
        UserError: for an unknown method.
    """
    record = find_method(method)
    demo = backbone == DEMO
    # The authors train in fp16 on a GPU. The demo CLIP is too small to become faster, and its
    # results should be the same on every machine.
    values = {**record.settings, **({} if demo else {"precision": "auto"})}
    values |= record.demo if demo else record.published.of(data)
    if data:
        values["data"] = data
    return TrainConfig(method=method, backbone=backbone, **values)


def few_shot_preset(method: str, backbone: str, data: str, shots: int) -> TrainConfig:
    """Returns the settings of a method in the few-shot protocol, for a data set and shots.

    For all but the demo CLIP a method may have a recipe of its own there (CoOp has). For all
    other methods this is the preset.

    Args:
        method: the method's key.
        backbone: the CLIP.
        data: the data set.
        shots: training images per class.

    Raises:
        UserError: for an unknown method.
    """
    usual = replace(preset(method, backbone, data), shots=shots)
    recipe = find_method(method).few_shot
    if recipe is None or backbone == "demo":
        return usual
    return replace(usual, **recipe.for_run(data, shots))


def follows_few_shot_recipe(config: TrainConfig) -> bool:
    """Returns whether a run has the recipe that its method has for the few-shot protocol only."""
    few = few_shot_preset(config.method, config.backbone, config.data, config.shots)
    return _kept(config) == _kept(few) != _kept(_usual(config))


def names_all_classes(config: TrainConfig) -> bool:
    """Returns whether a run's text loss also saw the names of classes without training images."""
    return config.classes == "base" and config.text_weight > 0 and config.text_classes == "all"


def settings_of_run(values: Mapping[str, Any], run_format: int = FIRST) -> TrainConfig:
    """Returns the settings that a run was saved with, as they are now.

    Args:
        values: the settings as they were saved; all of them if they have a `method`.
        run_format: the format of the run's store (`mocoop.runs.formats`).

    Raises:
        UserError: for an unknown setting, or a value of the wrong type or range.
    """
    if "method" not in values:
        return settings_from(values)
    return settings_from(as_trained(_BEFORE | migrated(values, run_format)))


def identity(config: TrainConfig) -> dict[str, Any]:
    """Returns the settings on which a run's result depends, as plain values.

    Settings that version 0.1 did not have are left out where they say what it did, so that its
    runs are found again and can be continued.
    """
    settings = replace(config, device="auto").to_dict()
    return {
        name: value
        for name, value in settings.items()
        if name not in _BEFORE or value != _BEFORE[name]
    }


def settings_from(values: Mapping[str, Any]) -> TrainConfig:
    """Returns checked settings; for missing keys, the preset of method and backbone applies.

    Raises:
        UserError: for an unknown setting, or a value of the wrong type or range.
    """
    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    for key in values:
        if key not in fields:
            raise choose_from("setting", key, sorted(fields))
    named = {"method": "mocoop"} | {k: str(v) for k, v in values.items() if k in _NAMES_PRESET}
    base = preset(**named)
    checked = {}
    for key, value in values.items():
        default = fields[key].default
        if key == "shots" and value == ALL:
            value = ALL_SHOTS
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if isinstance(default, tuple) and isinstance(value, list | tuple):
            value = tuple(value)
            if any(type(number) is not int for number in value):
                raise UserError(f"Setting {key} expects whole numbers, got {list(value)}.")
        if default is not None and type(value) is not type(default):
            raise UserError(
                f"Setting {key} expects {type(default).__name__}, "
                f"got {type(value).__name__} ({value!r})."
            )
        _check_size(key, value)
        checked[key] = value
    return replace(base, **checked)


def _check_size(key: str, value: object) -> None:
    """Raises UserError for a text or a number that is too long to be a setting."""
    if isinstance(value, str) and (len(value) > LONGEST or "\0" in value):
        raise UserError(
            f"Setting {key} expects at most {LONGEST:,} characters, without NUL; got "
            f"{len(value):,} ({value[:40]!r})."
        )
    if isinstance(value, int) and abs(value) > LARGEST:
        raise UserError(f"Setting {key} expects a whole number of at most {LARGEST:,}.")


def differences(config: TrainConfig) -> dict[str, Any]:
    """Returns the settings of a run that differ from its method's preset, by name.

    Left out are data, shots, seed, classes and groups, which are no part of a preset; the device
    and `save_every`, which do not change the result; and a precision chosen for the device. A run
    with its method's own few-shot recipe differs in its `recipe`.
    """
    if follows_few_shot_recipe(config):
        return dict(FEW_SHOT_RECIPE)
    usual = _usual(config)
    return {name: value for name, value in _kept(config).items() if value != getattr(usual, name)}


def _usual(config: TrainConfig) -> TrainConfig:
    """Returns the preset of a run's method, for its CLIP and its data set."""
    return preset(config.method, config.backbone, config.data)


def _kept(config: TrainConfig) -> dict[str, Any]:
    """Returns the settings that are part of a preset, by name."""
    chosen = preset(config.method, config.backbone).precision == "auto"  # for the device
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(TrainConfig)
        if field.name not in (*_NOT_IN_PRESET, *_WITHOUT_EFFECT)
        and not (field.name == "precision" and chosen)
    }
