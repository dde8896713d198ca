"""The settings of the small CLIP's training."""

from __future__ import annotations

from dataclasses import dataclass


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
