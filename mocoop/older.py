"""What earlier versions had and this one has not.

The settings of old runs are changed into those of today, step by step; what cannot be done any
more is said in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mocoop.errors import UserError

Settings = dict[str, Any]
FIRST = 1
"""The first format of the run store (`mocoop.runs.formats`)."""

# Fingerprint of the weights of version 0.1's built-in CLIP.
_FIRST_DEMO = "ac09cea37658f55ac47c155590d4eeeb"
_SETS = ("games",)  # built-in sets without a successor of the same name


class Step(NamedTuple):
    """A change of a run's settings towards those of today."""

    until: int
    """The last format of the run store that may need it."""
    lacks: str
    """A setting that runs before this change do not have."""
    change: Callable[[Settings], Settings]
    """Returns the settings after the change."""


def router_rate(values: Settings) -> Settings:
    """Gives the router the prompts' learning rate, as before it had its own."""
    return {"gate_rate": 1.0} | values


def one_model_for_all_methods(values: Settings) -> Settings:
    """Adds what the mixture and CoOp did before other methods made it settings."""
    return _MIXTURE_ALONE | values


def anchor_by_cosine(values: Settings) -> Settings:
    """Doubles the anchor's weight: it was that of the squared distance, twice 1 - cos."""
    weight = values.get("anchor_weight")
    return values | {"anchor_weight": 2 * weight} if isinstance(weight, int | float) else values


def context_that_learns(values: Settings) -> Settings:
    """Gives `learn_before` its later name, `learn_context`."""
    renamed = {name: value for name, value in values.items() if name != "learn_before"}
    old = {"learn_context": values["learn_before"]} if "learn_before" in values else {}
    return old | renamed


STEPS = (
    Step(1, "gate_rate", router_rate),
    Step(1, "context_init", one_model_for_all_methods),
    Step(1, "drop_last", anchor_by_cosine),
    Step(1, "learn_context", context_that_learns),
)
"""The changes so far, oldest first. Settings that only came to be are in `mocoop.presets`."""
_MIXTURE_ALONE: Settings = {
    "style": "",
    "context_init": "template",
    "context_words": "a photo of a",
    "context_tokens": 16,
    "name_position": "end",
    "class_context": False,
    "conditional": False,
    "text_target": "prototype",
    "anchor_weight": 0.0,
    "align_gradient": False,
    "gate_target": "hard",
    "schedule": "cosine",
    "warmup": "constant",
    "precision": "fp32",
    "image_cache": True,
    "augment": "none",
    "tune_layer_norms": False,
    "layer_norm_rate": 0.1,
}


def migrated(values: Mapping[str, Any], run_format: int) -> Settings:
    """Returns the settings of a run after the steps that its format and age need.

    Args:
        values: all settings of the run, as it saved them.
        run_format: the format of the run's store. All of version 0.1 is format 1; the settings
            that are missing tell its ages apart.
    """
    changed, missing = dict(values), {step.lacks for step in STEPS if step.lacks not in values}
    for step in STEPS:
        if run_format <= step.until and step.lacks in missing:
            changed = step.change(changed)
    return changed


def as_trained(values: Settings) -> Settings:
    """Returns the settings of a run with those numbers that its training has ignored made true.

    With `coupling` the image tower always had as many tokens as the text tower learned.
    """
    learned = values.get("learned_tokens")
    return values | {"vision_prompts": learned} if values.get("coupling") and learned else values


def same_clip(saved: str, found: str, older: bool = True) -> bool:
    """Returns whether a saved fingerprint is that of a CLIP.

    Args:
        saved: with a run or an export.
        found: that of the CLIP.
        older: whether an earlier version may have saved it: such a one does not tell how the
            weights are used, with QuickGELU for instance.
    """
    return found == saved or (older and found.startswith(f"{saved}-"))


def check_not_first_demo(fingerprint: str, what: str) -> None:
    """Raises UserError if something was trained with the built-in CLIP of version 0.1.

    Args:
        fingerprint: of the CLIP that it was trained with.
        what: "run" or "classifier".
    """
    if fingerprint == _FIRST_DEMO:
        raise UserError(
            f"This {what} was trained with the built-in CLIP of version 0.1, which is gone: it "
            f"knew single things, and the one of today knows scenes. The {what} can be looked "
            "at, but it cannot classify images any more. Train again to see more."
        )


def check_not_old_set(name: str) -> None:
    """Raises UserError for a built-in set of version 0.1 that is gone."""
    if name in _SETS:
        raise UserError(
            f"The built-in set {name} is gone: it was drawn for the built-in CLIP of version 0.1. "
            "Choose another one: `mocoop data list` shows them all."
        )
