"""The settings with which the small CLIP is trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoClipConfig:
    """How the small CLIP is trained."""

    steps: int = 3600
    """Number of optimiser steps."""
    batch_size: int = 256
    """Pictures drawn per step."""
    learning_rate: float = 1.5e-3
    """Peak learning rate of AdamW, followed by a cosine schedule."""
    warmup_steps: int = 200
    """Number of steps of linear warm-up."""
    weight_decay: float = 0.05
    """Weight decay, only on the matrices of the transformer blocks and the projections."""
    plain_captions: float = 0.35
    """Probability that a caption uses the plain template instead of one of its style."""
    eval_every: int = 400
    """Steps between two evaluations on unseen pictures; the weights are saved there too."""
    eval_images: int = 10
    """Unseen pictures per class and style in the last evaluation (2 in the others)."""
    seed: int = 1
    """Seed of the first weights, the pictures and the captions."""
    precision: str = "bf16"
    """Number format: `bf16` (autocast) or `fp32`."""
    device: str = "cpu"
    """The torch device: `cpu`, `cuda` ..."""
