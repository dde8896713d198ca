"""Methods as presets of one model: what each changes in the settings, and from which paper."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mocoop.config import METHODS, TrainConfig
from mocoop.errors import UserError, choose_from

# CoOp (Zhou et al., IJCV 2022): one context "a photo of a", the name at the end, no text loss.
_COOP: dict[str, Any] = {
    "learn_after": False,
    "correction": False,
    "num_chosen": 1,
    "text_weight": 0.0,
    "gate_weight": 0.0,
    "gate_rate": 1.0,
}
# LASP (Bulat and Tzimiropoulos, CVPR 2023): one prompt told apart among every hard template.
_LASP = _COOP | {"correction": True, "text_weight": 5.0, "text_target": "templates"}
_ALL_NAMES = {"text_classes": "all"}
_TUNED = {"image_cache": False, "tune_layer_norms": True}
_UNTRAINED = _COOP | {"epochs": 0}
# What differs from the defaults of TrainConfig, which are the mixture on the small built-in CLIP.
_METHODS: dict[str, dict[str, Any]] = {
    "zero-shot": _UNTRAINED,
    "ensemble": _UNTRAINED,
    "linear-probe": _UNTRAINED,
    "tip-adapter": _UNTRAINED,
    "tip-adapter-f": _COOP | {"epochs": 20, "learning_rate": 1e-3, "batch_size": 256},
    "coop": _COOP,
    "cocoop": _COOP | {"conditional": True},
    "prograd": _COOP | {"align_gradient": True},
    "kgcoop": _COOP | {"anchor_weight": 8.0},
    "lasp": _LASP,
    "lasp-v": _LASP | _ALL_NAMES,
    "lasp-ln": _LASP | _TUNED,
    "lasp-v-ln": _LASP | _ALL_NAMES | _TUNED,
    "mocoop": {},
    "mocoop-ln": _TUNED,
}
# The small CLIP's recipes, chosen with `mocoop tune` on validation images.
_DEMO: dict[str, dict[str, Any]] = {
    "coop": {"learning_rate": 0.02},
    "cocoop": {"learning_rate": 0.02, "batch_size": 8, "epochs": 10},
    "prograd": {"learning_rate": 0.02},
    "kgcoop": {"learning_rate": 0.1},
    "lasp": {"learning_rate": 0.2},
    "lasp-v": {"learning_rate": 0.2},
    "lasp-ln": {"learning_rate": 0.2, "layer_norm_rate": 0.03},
    "lasp-v-ln": {"learning_rate": 0.2, "layer_norm_rate": 0.03},
    "mocoop-ln": {"layer_norm_rate": 0.01},
}
# The published recipes, for real CLIPs. The mixture's rates were not usable for the small CLIP:
# with 0.032 for prompts and router, its router sends all images to one expert.
_SGD = {"batch_size": 32, "learning_rate": 0.002, "clip_norm": 0.0, "epochs": 50}
_MIXTURE = {
    "text_scale": "one",
    "epochs": 50,
    "batch_size": 32,
    "learning_rate": 0.032,
    "gate_rate": 1.0,
    "warmup_epochs": 5,
}
_LIVE = {"augment": "crops"}
_PUBLISHED: dict[str, dict[str, Any]] = {
    "coop": _SGD,
    "cocoop": _SGD | {"batch_size": 1, "epochs": 10},
    "prograd": _SGD | {"epochs": 100},
    "kgcoop": _SGD | {"batch_size": 128, "epochs": 100},
    "lasp": _MIXTURE,
    "lasp-v": _MIXTURE,
    "lasp-ln": _MIXTURE | _LIVE,
    "lasp-v-ln": _MIXTURE | _LIVE,
    "mocoop": _MIXTURE,
    "mocoop-ln": _MIXTURE | _LIVE,
}

_OWN = ("data", "method", "backbone", "shots", "seed", "classes", "style", "groups")
_WITHOUT_EFFECT = ("device", "save_every")


def preset(method: str, backbone: str = "demo") -> TrainConfig:
    """Returns the default settings of a method: the published ones, or the demo CLIP's.

    Raises:
        UserError: for an unknown method.
    """
    if method not in METHODS:
        raise choose_from("method", method, METHODS)
    demo = backbone == "demo"
    # The authors train in fp16 on a GPU. The demo CLIP is too small to gain from it, and its
    # numbers are to be the same everywhere.
    values = _METHODS[method] | ({} if demo else {"precision": "auto"})
    values |= (_DEMO if demo else _PUBLISHED).get(method, {})
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
