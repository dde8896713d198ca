"""Checks a run's tensors against its settings: names, shapes, number formats, finite values.

The CLIP is not needed: its widths are free, but the same in all tensors of a run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mocoop.errors import UserError
from mocoop.method_record import (
    BLENDED_PROBE,
    FEATURE_ADAPTER,
    IMAGE_CACHE,
    LINEAR_PROBE,
    TASK_RESIDUAL,
)
from mocoop.methods import METHODS
from mocoop.runs.expected_weights import DIM, NORMS, Shape, expected_of_prompts, reason

if TYPE_CHECKING:
    from mocoop.runs.features import SavedFeatures
    from mocoop.runs.run import RunSetup

LARGEST = 1e7  # of a trained value: no product of the classifiers overflows
_NORM = re.compile(r"(?P<start>.*resblocks/)(?P<block>\d{1,4})/ln_[12]/(weight|bias)")
FORMATS = (torch.float32, torch.float64)

_OF_FITTED: dict[str, dict[str, Shape]] = {
    LINEAR_PROBE: {
        "weight": ("classes", DIM),
        "bias": ("classes",),
        "inverse_regularization": (),
        "val_accuracy": (),
        "searched": ("?", 2),
    },
    IMAGE_CACHE: {
        "keys": ("keys", DIM),
        "values": ("keys", "names"),
        "alpha": (),
        "beta": (),
        "text": ("names", DIM),
    },
    TASK_RESIDUAL: {"base": ("classes", DIM), "residual": ("classes", DIM), "ratio": ()},
    FEATURE_ADAPTER: {
        "down": ("hidden", DIM),
        "up": (DIM, "hidden"),
        "ratio": (),
        "text": ("names", DIM),
    },
    BLENDED_PROBE: {
        "weight": ("classes", DIM),
        "bias": ("classes",),
        "blend": ("classes",),
        "text": ("classes", DIM),
        "factor": (),
        "steps": (),
    },
}
"""Kind of classifier → its tensors; others, such as the validation accuracy, are numbers."""
_LEARNED_OF_FITTED = {
    LINEAR_PROBE: ("weight", "bias"),
    IMAGE_CACHE: ("keys",),
    TASK_RESIDUAL: ("residual",),
    FEATURE_ADAPTER: ("down", "up"),
    BLENDED_PROBE: ("weight", "bias", "blend"),
}
"""Kind of classifier → the tensors that its training changes."""


def check_weights(setup: RunSetup, weights: Mapping[str, Tensor]) -> None:
    """Raises UserError for weights that do not fit a run's settings.

    Args:
        setup: the run's setup.
        weights: the run's weights by name.
    """
    if not weights:
        raise UserError("there are no weights")
    for name, value in weights.items():
        _check_numbers(name, value)
    kind = METHODS[setup.config.method].classifier
    known: dict[int | str, int] = {
        "classes": setup.trained_classes,
        "names": len(setup.class_names),
    }
    if METHODS[setup.config.method].fits_image_features:
        expected = _OF_FITTED[kind]
        _check_there(set(expected), weights)
        for name, value in weights.items():
            _check_shape(name, value, expected.get(name, ()), known)
        return
    if not METHODS[setup.config.method].learns_prompts:
        return
    _check_prompts(setup, weights, known)


def _check_prompts(
    setup: RunSetup, weights: Mapping[str, Tensor], known: dict[int | str, int]
) -> None:
    """Raises UserError for a missing, unknown or misfitting tensor; names what settings say."""
    config, experts = setup.config, len(setup.experts)
    expected = expected_of_prompts(config, experts, setup.trained_classes)
    for name in expected:
        if name not in weights:
            raise UserError(f"{name} is missing, but {reason(name, config, experts)}")
    norms = [name for name in weights if name.startswith(NORMS)]
    if config.tune_layer_norms:
        _check_norms(norms)
        expected |= dict.fromkeys(norms, ("?",))
    for name in weights:
        if name not in expected:
            why = reason(name, config, experts)
            told = f": {why}" if why else ""
            raise UserError(f"{name[:80]!r} does not belong to {config.method}{told}")
    for name, shape in expected.items():
        try:
            _check_shape(name, weights[name], shape, known)
        except UserError as error:
            raise UserError(f"{error}, as {reason(name, config, experts)}") from error


def _check_norms(names: Sequence[str]) -> None:
    """Raises UserError if there are no trained LayerNorms, or if one of a block's is missing."""
    found = [(name, match) for name in names if (match := _NORM.fullmatch(name)) is not None]
    blocks = 1 + max((int(match["block"]) for _, match in found), default=0)
    start = found[0][1]["start"] if found else f"{NORMS}transformer/resblocks/"
    for block in range(blocks):
        for part in ("ln_1/weight", "ln_1/bias", "ln_2/weight", "ln_2/bias"):
            if (name := f"{start}{block}/{part}") not in names:
                raise UserError(f"{name} is missing, but tune_layer_norms is on")


def learned_numbers(setup: RunSetup, weights: Mapping[str, Tensor]) -> int:
    """Returns how many numbers of a run's weights its training changes.

    Weights also hold what a training leaves as it is: text features, or the full stop at the end
    of a prompt.

    Args:
        setup: the run's setup.
        weights: the run's weights by name, which fit the setup.
    """
    config, method = setup.config, METHODS[setup.config.method]
    if method.fits_image_features:
        learned = _LEARNED_OF_FITTED[method.classifier]
        return sum(weights[name].numel() for name in learned)
    if not method.learns_prompts:
        return 0
    behind = config.learn_after or config.context_init != "template"
    frozen = {"prompts.before": not config.learn_context}
    frozen["prompts.after"] = not (behind and config.learn_context)
    return sum(
        value.numel()
        for name, value in weights.items()
        if not any(is_so and name.startswith(f"{part}.") for part, is_so in frozen.items())
    )


def check_features(setup: RunSetup, features: SavedFeatures) -> None:
    """Raises UserError for text features that do not fit a run's settings."""
    experts, classes = len(setup.experts), len(setup.class_names)
    known: dict[int | str, int] = {}
    tensors: dict[str, tuple[Tensor, Shape]] = {
        "prototypes": (features.prototypes, (experts, classes, DIM))
    }
    if len(features.hard) != experts:
        raise UserError(f"hard features of {len(features.hard)} groups; expected {experts}")
    for index, (hard, templates) in enumerate(
        zip(features.hard, setup.groups.values(), strict=True)
    ):
        tensors[f"hard/{index}"] = hard, (len(templates), classes, DIM)
    for epoch, soft in features.soft.items():
        tensors[f"soft/{epoch}"] = soft, ("soft", classes, DIM)
    for epoch, gate in features.gates.items():
        _check_there({"gate.weight", "gate.bias"}, gate)
        tensors[f"gate/{epoch}/weight"] = gate["gate.weight"], (experts, DIM)
        tensors[f"gate/{epoch}/bias"] = gate["gate.bias"], (experts,)
    for name, (value, shape) in tensors.items():
        _check_numbers(name, value)
        _check_shape(name, value, shape, known)


def _check_there(names: set[str], tensors: Mapping[str, Tensor]) -> None:
    missing = sorted(names - set(tensors))
    if missing:
        raise UserError(f"{missing[0]} is missing")


def _check_numbers(name: str, value: Tensor) -> None:
    if value.dtype not in FORMATS:
        kind = str(value.dtype).removeprefix("torch.")
        raise UserError(f"{name[:80]} has numbers of type {kind}; expected float32")
    if not value.isfinite().all():
        raise UserError(f"{name[:80]} has values that are not finite numbers")
    if value.numel() and value.abs().amax() > LARGEST:
        raise UserError(f"{name[:80]} has values above {LARGEST:g}")


def _check_shape(name: str, value: Tensor, shape: Shape, known: dict[int | str, int]) -> None:
    """Raises UserError for another shape than expected.

    Args:
        name: the tensor's name.
        value: the tensor.
        shape: its expected shape.
        known: the sizes of the names that have been seen; new ones are added.
    """
    sizes = tuple(value.shape)
    if len(sizes) == len(shape):
        for size, asked in zip(sizes, shape, strict=True):
            if isinstance(asked, str) and asked != "?":
                known.setdefault(asked, size)
        wanted = tuple(known.get(asked, asked) for asked in shape)
        if all(asked in ("?", size) for size, asked in zip(sizes, wanted, strict=True)):
            return
    named = [str(known.get(asked, asked)) for asked in shape]
    told = ", ".join("any" if size == "?" else size for size in named)
    raise UserError(f"{name[:80]} has shape {list(sizes)}; expected [{told}]")
