"""One setting of a published recipe, and what the recipes of several papers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SAME = "the same"


@dataclass(frozen=True)
class Published:
    """One setting of a published recipe."""

    setting: str
    """A setting of `TrainConfig`, or a few words for what is none."""
    value: Any
    """Its published value; in words if it is none of ours."""
    ours: str = ""
    """What ours does, in words; empty if the setting's value says it."""
    source: str = ""
    """Where it is published; empty for the method's own code."""
    except_on: str = ""
    """Where the published value is another one, and which."""
    in_epochs: bool = False
    """Whether it only concerns methods that are trained in epochs."""


DASSL = "Dassl, on which its code is built"
COCOOP_CODE = "CoCoOp's code"
COOP_COMMAND = "CoOp's command for ImageNet, which its README names"
# What all programs have that are built on Dassl.
SGD = (
    Published("momentum", 0.9, source=DASSL),
    Published("weight_decay", 5e-4, source=DASSL),
    Published("schedule", "cosine"),
    Published("warmup", "constant"),
    Published("warmup_rate", 1e-5),
    Published("warmup_groups", "same", source=DASSL),
    Published("drop_last", True, source=DASSL),
    Published("tested epoch", "the last", SAME, DASSL),
)
CROPS = (
    Published("augment", "crops"),
    Published("crops", "8 to 100 % of the picture, bicubic, flip", SAME),
)
WORDS = (
    Published("context_words", "a photo of a"),
    Published("name_position", "end"),
)
PLAIN = "the data set's plain template"
FP16 = Published(
    "precision", "fp16 in the towers", "auto: bf16 where it is fast, fp16 on other GPUs, else fp32"
)
AMP = Published(
    "precision", "autocast to fp16", "auto: bf16 where it is fast, fp16 on other GPUs, else fp32"
)
NO_CLIPPING = Published("clip_norm", 0.0)
MAPLE_CODE = "MaPLe's code"
TOKENS = Published("first value of learned tokens", "normal, standard deviation 0.02", SAME)
TOWERS = (
    Published("context_init", "words"),
    *WORDS,
    Published("batch_size", 4),
    Published("epochs", 5),
    Published("warmup_epochs", 1),
    NO_CLIPPING,
    *SGD,
    *CROPS,
    FP16,
    TOKENS,
)
