"""Checks a run's tensors against its settings: names, shapes, number formats, finite values.

The CLIP is not needed: its widths are free, but the same in all tensors of a run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.method_record import (
    BLENDED_PROBE,
    FEATURE_ADAPTER,
    IMAGE_CACHE,
    LINEAR_PROBE,
    TASK_RESIDUAL,
)
from mocoop.methods import METHODS

if TYPE_CHECKING:
    from mocoop.runs.features import SavedFeatures
    from mocoop.runs.run import RunSetup

Shape = tuple[int | str, ...]
"""Sizes: a number, or a name for one that all tensors of a run share; `?` is any size."""
LARGEST = 1e7  # of a trained value: no product of the classifiers overflows
FORMATS = (torch.float32, torch.float64)
WIDTH, DIM, VISION = "width of the text tower", "size of the features", "width of the image tower"

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


@dataclass(frozen=True)
class _Family:
    """Tensors with names of one form."""

    names: re.Pattern[str]
    shape: Shape


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
    experts = len(setup.experts)
    families = _families(setup.config, experts, setup.trained_classes)
    required = {f"prompts.{part}.{g}" for part in ("before", "after") for g in range(experts)}
    if experts > 1:
        required |= {"gate.weight", "gate.bias"}
    if setup.config.correction:
        required |= {"correction"}
    _check_there(required, weights)
    for name, value in weights.items():
        shape = next((f.shape for f in families if f.names.fullmatch(name)), None)
        if shape is None:
            raise UserError(f"{name[:80]!r} does not belong to {setup.config.method}")
        _check_shape(name, value, shape, known)


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


def _families(config: TrainConfig, experts: int, classes: int) -> list[_Family]:
    """Returns all tensors that a model with these settings may have."""
    expert = "|".join(map(str, range(experts)))
    context: Shape = (classes, "?", WIDTH) if config.class_context else ("?", WIDTH)
    table: list[tuple[str, Shape]] = [(rf"prompts\.(before|after)\.({expert})", context)]
    if config.text_keys:
        table += _key_families(r"prompts\.keys", config.text_keys, config.searches_text, WIDTH)
    elif config.text_depth > 1:
        table.append((rf"prompts\.deep\.({expert})", (config.text_depth - 1, "?", WIDTH)))
    if experts > 1:
        table += [(r"gate\.weight", (experts, DIM)), (r"gate\.bias", (experts,))]
    if config.correction:
        table.append(("correction", (DIM,)))
    if config.conditional:
        own = rf"shift(\.({expert}))?"
        table += [
            (rf"{own}\.squeeze\.weight", ("squeezed", DIM)),
            (rf"{own}\.squeeze\.bias", ("squeezed",)),
            (rf"{own}\.expand\.weight", (WIDTH, "squeezed")),
            (rf"{own}\.expand\.bias", (WIDTH,)),
        ]
    if config.tune_layer_norms:
        table.append((r"norms\.values\..+", ("?",)))
    if config.expert_vision_depth > 0:
        late: Shape = (experts, config.expert_vision_depth, config.vision_prompts, VISION)
        table.append((r"vision\.late", late))
    if config.searches_images or config.vision_lengths:
        table += _key_families("vision", config.vision_keys, config.searches_images, VISION)
    elif config.vision_depth > 0:
        block = "|".join(map(str, range(config.vision_depth)))
        table += [
            (r"vision\.values", (config.vision_depth, config.vision_prompts, VISION)),
            (rf"vision\.coupling\.({block})\.weight", (VISION, WIDTH)),
            (rf"vision\.coupling\.({block})\.bias", (VISION,)),
        ]
    if config.lora_rank > 0:
        for tower, width in (("image", VISION), ("text", WIDTH)):
            table += [
                (rf"lora\.{tower}_down", ("?", "?", config.lora_rank, width)),
                (rf"lora\.{tower}_up", ("?", "?", width, config.lora_rank)),
            ]
    return [_Family(re.compile(names), shape) for names, shape in table]


def _key_families(
    prefix: str, lengths: Sequence[int], searched: bool, width: str
) -> list[tuple[str, Shape]]:
    """Returns the learned keys and values of a tower's blocks; a search chooses their number."""
    return [
        (rf"{prefix}\.values\.{block}", ("?" if searched else count, width))
        for block, count in enumerate(lengths)
    ]


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
    wanted = tuple(known.get(asked, asked) for asked in shape)
    raise UserError(f"{name[:80]} has shape {list(sizes)}; expected {list(wanted)}")
