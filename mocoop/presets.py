"""The methods' presets, settings from plain values, and the differences from a preset."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mocoop.config import TrainConfig
from mocoop.errors import UserError, choose_from
from mocoop.methods import find_method

_NOT_IN_PRESET = ("data", "method", "backbone", "shots", "seed", "classes", "style", "groups")
_WITHOUT_EFFECT = ("device", "save_every")  # settings that do not change the result


def preset(method: str, backbone: str = "demo") -> TrainConfig:
    """Returns the default settings of a method: the published ones, or the demo CLIP's.

    Raises:
        UserError: for an unknown method.
    """
    record = find_method(method)
    demo = backbone == "demo"
    # The authors train in fp16 on a GPU. The demo CLIP is too small to become faster, and its
    # results should be the same on every machine.
    values = {**record.settings, **({} if demo else {"precision": "auto"})}
    values |= record.demo if demo else record.published.settings
    return TrainConfig(method=method, backbone=backbone, **values)


def settings_from(values: Mapping[str, Any]) -> TrainConfig:
    """Returns checked settings; for missing keys, the preset of method and backbone applies.

    Raises:
        UserError: for an unknown setting, or a value of the wrong type or range.
    """
    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    for key in values:
        if key not in fields:
            raise choose_from("setting", key, sorted(fields))
    base = preset(str(values.get("method", "mocoop")), str(values.get("backbone", "demo")))
    checked = {}
    for key, value in values.items():
        default = fields[key].default
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if default is not None and type(value) is not type(default):
            raise UserError(
                f"Setting {key} expects {type(default).__name__}, "
                f"got {type(value).__name__} ({value!r})."
            )
        checked[key] = value
    return dataclasses.replace(base, **checked)


def differences(config: TrainConfig) -> dict[str, Any]:
    """Returns the settings of a run that differ from its method's preset, by name.

    Left out are data, shots, seed, classes and groups, which are no part of a preset; the device
    and `save_every`, which do not change the result; and a precision chosen for the device.
    """
    usual = preset(config.method, config.backbone)
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(TrainConfig)
        if field.name not in (*_NOT_IN_PRESET, *_WITHOUT_EFFECT)
        and not (field.name == "precision" and usual.precision == "auto")
        and getattr(config, field.name) != getattr(usual, field.name)
    }
