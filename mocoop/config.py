"""The settings of a run: one frozen dataclass, and one preset of it for each method."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import tyro

from mocoop.errors import UserError, choose_from
from mocoop.templates import Groups, as_groups

ClassesChoice = Literal["all", "base"]
TextScale = Literal["one", "logit"]
TextClasses = Literal["seen", "all"]


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a run depends on; saved with it and enough to repeat it."""

    data: str = "pictographs"
    """Built-in set (`pictographs`, `faces`, `games`, `digits`) or the path of a folder of
    images: `class_name/*.jpg`, or `train/`, `val/` and `test/` of such."""
    method: str = "mocoop"
    """`mocoop`, `coop` or `zero-shot`: a preset of the settings below."""
    backbone: str = "demo"
    """`demo`, an open_clip `NAME/TAG` such as `ViT-B-16-quickgelu/openai`, or the path of a
    local checkpoint folder (`open_clip_config.json` beside a `.safetensors` file)."""
    shots: int = 16
    """Training images per class."""
    seed: int = 1
    """Draws the few-shot images, the batches, the views and the router's first weights."""
    classes: ClassesChoice = "all"
    """Train on all classes, or on the base half only (base-to-new protocol)."""

    groups: Annotated[Groups | None, tyro.conf.Suppress] = None
    """Semantic groups of templates, one expert each; None takes the data set's own."""
    learn_after: bool = True
    """Learn the tokens after the class name too (otherwise they stay the template's)."""
    correction: bool = True
    """Learn one correction vector that is added to all text features (from LASP)."""
    num_chosen: int = 2
    """K: how many experts the router picks for each image."""

    text_weight: float = 5.0
    """Weight of the text-supervision loss, which keeps experts close to their group."""
    text_scale: TextScale = "logit"
    """Inverse temperature of the text loss: `one` (the authors') or the CLIP's `logit` scale."""
    text_classes: TextClasses = "seen"
    """Class names in the text loss: `seen` in training, or `all`, new ones included."""
    gate_weight: float = 1.0
    """Weight of the gating loss, which teaches the router from the hard prompts."""

    epochs: int = 12
    """Passes over the few-shot images."""
    batch_size: int = 128
    """Images per step; the text side costs the same whatever the batch."""
    learning_rate: float = 0.5
    """Peak learning rate of SGD."""
    gate_rate: float = 20.0
    """Learning rate of the router as a multiple of the prompts'."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 5e-4
    """Weight decay of SGD, on everything learnt."""
    warmup_epochs: int = 1
    """First epochs, at a constant small rate."""
    warmup_rate: float = 1e-5
    """Learning rate of the warm-up epochs."""
    clip_norm: float = 1.0
    """Largest norm of the gradient; 0 does not clip."""
    views: int = 1
    """Cached views per training image: 1 is the centre crop, more add seeded random crops
    and mirror images drawn once."""
    save_every: int = 3
    """Epochs between two saved copies of the soft text features (first and last always)."""
    device: str = "auto"
    """`auto` (GPU if there is one), `cpu`, `cuda` ..."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise choose_from("method", self.method, METHODS)
        for name, choices in (
            ("classes", ClassesChoice),
            ("text_scale", TextScale),
            ("text_classes", TextClasses),
        ):
            if getattr(self, name) not in get_args(choices):
                raise choose_from(name, getattr(self, name), get_args(choices))
        for name in ("shots", "num_chosen", "batch_size", "views", "save_every"):
            self._at_least(name, 1)
        for name in ("epochs", "warmup_epochs", "text_weight", "gate_weight", "gate_rate"):
            self._at_least(name, 0)
        for name in ("learning_rate", "momentum", "weight_decay", "warmup_rate", "clip_norm"):
            self._at_least(name, 0)
        if self.method == "zero-shot" and self.epochs > 0:
            raise UserError(
                "zero-shot is the prompt before any training: epochs must be 0; got "
                f"{self.epochs}. To train that prompt, use the method coop."
            )
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed must be from 0 to 4294967295; got {self.seed}.")
        if self.groups is not None:
            object.__setattr__(self, "groups", as_groups(self.groups))
            self.check_num_chosen(len(self.groups))

    def _at_least(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if not least <= value < float("inf"):
            raise UserError(f"{name} must be at least {least}; got {value}.")

    def check_num_chosen(self, num_experts: int) -> None:
        """Raises UserError if the router is asked for more experts than there are."""
        if self.num_chosen > num_experts:
            raise UserError(
                f"num_chosen is {self.num_chosen}, but there are only {num_experts} experts "
                f"(one per group of templates). Choose 1 to {num_experts}, or add groups."
            )

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Returns checked settings; missing keys take the preset of method and backbone.

        Raises:
            UserError: for a key that is no setting, or a value that does not fit.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
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


# What differs from the defaults above, which are the mixture on the small built-in CLIP. CoOp is
# one expert whose context is "a photo of a", without text loss, gate and correction; zero-shot
# is that prompt before any training.
_SINGLE_PROMPT: dict[str, Any] = {
    "learn_after": False,
    "correction": False,
    "num_chosen": 1,
    "text_weight": 0.0,
    "gate_weight": 0.0,
}
_METHODS: dict[str, dict[str, Any]] = {
    "mocoop": {},
    "coop": _SINGLE_PROMPT | {"learning_rate": 0.02},
    "zero-shot": _SINGLE_PROMPT | {"epochs": 0},
}
# The published recipes, for real CLIPs. The rates above were chosen for the small CLIP on
# validation images: with 0.032 for prompts and router its router sends all images to one expert.
_PUBLISHED: dict[str, dict[str, Any]] = {
    "mocoop": {
        "text_scale": "one",
        "epochs": 50,
        "batch_size": 32,
        "learning_rate": 0.032,
        "gate_rate": 1.0,
        "warmup_epochs": 5,
    },
    "coop": {"epochs": 50, "batch_size": 32, "learning_rate": 0.002, "clip_norm": 0.0},
    "zero-shot": {},
}
METHODS = tuple(_METHODS)


def preset(method: str, backbone: str = "demo") -> TrainConfig:
    """Returns the default settings of a method: the published ones, or the demo CLIP's.

    Raises:
        UserError: for an unknown method.
    """
    if method not in METHODS:
        raise choose_from("method", method, METHODS)
    published = {} if backbone == "demo" else _PUBLISHED[method]
    return TrainConfig(method=method, backbone=backbone, **_METHODS[method] | published)


def uses_single_prompt(method: str) -> bool:
    """Returns whether a method starts from the data set's one plain template."""
    return method in ("coop", "zero-shot")


@dataclass(frozen=True)
class DemoClipConfig:
    """How the small CLIP is trained."""

    steps: int = 3600
    """Optimiser steps."""
    batch_size: int = 256
    """Pictures drawn per step."""
    learning_rate: float = 1.5e-3
    """Peak of the cosine schedule of AdamW."""
    warmup_steps: int = 200
    """Steps of linear warm-up."""
    weight_decay: float = 0.05
    """On the matrices of the transformer blocks and the projections alone."""
    plain_captions: float = 0.35
    """How often a picture's caption is the plain template instead of its style's."""
    eval_every: int = 400
    """Steps between two looks at unseen pictures; the weights are saved there too."""
    eval_images: int = 10
    """Unseen pictures per class and style in the last look (2 in the others)."""
    seed: int = 1
    """Seed of the weights, the pictures and the captions."""
    precision: str = "bf16"
    """`bf16` (autocast) or `fp32`."""
    device: str = "cpu"
    """A torch device: `cpu`, `cuda` ..."""
