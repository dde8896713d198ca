"""Settings of the methods: presets, settings from plain values, and what differs from a preset."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mocoop.config import TrainConfig
from mocoop.errors import UserError, choose_from
from mocoop.methods import find_method

_OWN = ("data", "method", "backbone", "shots", "seed", "classes", "style", "groups")
_WITHOUT_EFFECT = ("device", "save_every")


def preset(method: str, backbone: str = "demo") -> TrainConfig:
    """Returns the default settings of a method: the published ones, or the demo CLIP's.

    Raises:
        UserError: for an unknown method.
    """
    record = find_method(method)
    demo = backbone == "demo"
    # The authors train in fp16 on a GPU. The demo CLIP is too small to gain from it, and its
    # numbers are to be the same everywhere.
    values = {**record.settings, **({} if demo else {"precision": "auto"})}
    values |= record.demo if demo else record.published.settings
    return TrainConfig(method=method, backbone=backbone, **values)


def settings_from(values: Mapping[str, Any]) -> TrainConfig:
    """Returns checked settings; missing keys take the preset of method and backbone.

    Raises:
        UserError: for a key that is no setting, or a value that does not fit.
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
    """Returns the settings in which a run differs from its method's preset, by name.

    Data, shots, seed, classes and groups, which every run has of its own, are left out, and so
    is the device, which changes nothing but the time, and a precision that suits the device.
    """
    usual = preset(config.method, config.backbone)
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(TrainConfig)
        if field.name not in (*_OWN, *_WITHOUT_EFFECT)
        and not (field.name == "precision" and usual.precision == "auto")
        and getattr(config, field.name) != getattr(usual, field.name)
    }
