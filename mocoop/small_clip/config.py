"""The settings of the training of the small CLIP of scenes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mocoop.errors import UserError

_LEAST = {
    **dict.fromkeys(
        ("pictures", "batch_size", "width", "layers", "captions", "style_names", "eval_every",
         "eval_scenes", "workers"), 1,
    ),
    "names": 3,  # a scene has up to three different things
    **dict.fromkeys(("patch_weight", "learning_rate", "weight_decay", "seed"), 0),
}  # fmt: skip


@dataclass(frozen=True)
class SmallClipConfig:
    """How the small CLIP of scenes is trained."""

    pictures: int = 800_000
    """Pictures drawn in all."""
    batch_size: int = 384
    """Pictures per step."""
    width: int = 160
    """Width of the image tower."""
    layers: int = 6
    """Blocks of the image tower."""
    start: str = ""
    """Folder of a small CLIP of the same size to go on from; empty for a fresh one."""
    places: str = "waves"
    """What the embeddings of places start from: `waves` (sines and cosines) or `random`."""
    pooling: str = "token"
    """What the image tower pools: the class `token`, or the `average` over places."""
    patch_block: int = 4
    """Block after which each patch is taught which thing in which role it shows; 0 for none."""
    patch_weight: float = 1.0
    """Of that part of the loss."""
    optimizer: str = "muon"
    """`muon` (for the matrices of blocks, with AdamW for the rest) or `adamw`."""
    learning_rate: float = 1.5e-3
    """Peak of the cosine schedule, which both optimisers follow."""
    warmup: float = 0.04
    """Share of the steps with a linear warm-up."""
    weight_decay: float = 0.05
    """On matrices, but for the embeddings of tokens and places."""
    singles_first: float = 0.85
    """Share of the first pictures that show a single thing."""
    singles_last: float = 0.2
    """The same after `singles_until`; it falls evenly until then."""
    singles_until: float = 0.35
    """Share of the training after which scenes have their last mixture."""
    names: int = 128
    """Things of a step: each picture is scored against the names of all of them."""
    captions: int = 128
    """Pictures of a step that get a caption of their own for CLIP's usual loss."""
    style_names: int = 16
    """Names of a step in whose words styles are told apart."""
    eval_every: int = 250
    """Steps between two looks at unseen scenes; the weights are saved there too."""
    eval_scenes: int = 300
    """Unseen scenes of each role at such a look."""
    seed: int = 1
    """Seed of the weights, the pictures and the captions."""
    precision: str = "bf16"
    """`bf16` (autocast) or `fp32`."""
    compile: bool = False
    """Compile the image tower with torch.compile: a minute at the start, then faster; needs a C
    compiler."""
    device: str = "cpu"
    """A torch device: `cpu`, `cuda` ..."""
    workers: int = 1
    """Processes that draw; the pictures do not depend on it."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if not least <= getattr(self, name) < float("inf"):
                raise UserError(f"{name} must be at least {least}; got {getattr(self, name)}.")
        for name in ("warmup", "singles_first", "singles_last", "singles_until"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} must be from 0 to 1; got {getattr(self, name)}.")
        if self.width % 32:
            raise UserError(f"width must be a multiple of 32; got {self.width}.")
        if self.places not in ("waves", "random"):
            raise UserError(f"places must be waves or random; got {self.places!r}.")
        if self.pooling not in ("token", "average"):
            raise UserError(f"pooling must be token or average; got {self.pooling!r}.")
        if not 0 <= self.patch_block <= self.layers:
            raise UserError(
                f"patch_block must be 0 to {self.layers}, the number of layers; got "
                f"{self.patch_block}."
            )
        if self.optimizer not in ("muon", "adamw"):
            raise UserError(f"optimizer must be muon or adamw; got {self.optimizer!r}.")
        if self.precision not in ("bf16", "fp32"):
            raise UserError(f"precision must be bf16 or fp32; got {self.precision!r}.")

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return max(1, self.pictures // self.batch_size)

    def singles(self, step: int) -> float:
        """Returns the share of single things among the pictures of a step (1-based)."""
        along = min(1.0, (step - 1) / max(1.0, self.singles_until * self.steps))
        return self.singles_first + along * (self.singles_last - self.singles_first)

    @property
    def model(self) -> dict[str, Any]:
        """What open_clip's CLIP is built from."""
        image: dict[str, Any] = {
            "image_size": 64,
            "patch_size": 8,
            "width": self.width,
            "layers": self.layers,
            "head_width": 32,
        }
        if self.pooling == "average":
            image["pool_type"] = "avg"
        return {
            "embed_dim": 128,
            "vision_cfg": image,
            "text_cfg": {
                "context_length": 77,
                "vocab_size": 49408,
                "width": 128,
                "heads": 4,
                "layers": 3,
            },
        }
