"""A CLIP small enough for tests: random weights, 32 px pictures, two text layers."""

from __future__ import annotations

from typing import Any

import torch
from open_clip.model import CLIP, CustomTextCLIP

EMBED_DIM = 16
TINY_CONFIG: dict[str, Any] = {
    "embed_dim": EMBED_DIM,
    "vision_cfg": {
        "image_size": 32,
        "patch_size": 16,
        "width": 32,
        "layers": 1,
        "head_width": 16,
    },
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def tiny_config(**text_cfg):
    """Returns the small CLIP's configuration with changes to its text tower."""
    return TINY_CONFIG | {"text_cfg": TINY_CONFIG["text_cfg"] | text_cfg}


def tiny_clip(seed=0, custom_text=False, embed_dim=EMBED_DIM, **text_cfg):
    """Returns a small random CLIP, or a CustomTextCLIP, with changes to its text tower."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind = CustomTextCLIP if custom_text else CLIP
        model = kind(**tiny_config(**text_cfg) | {"embed_dim": embed_dim})
        unsettle(model)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def unsettle(model):
    """Adds noise to biases and norms, whose neutral first values would hide mistakes."""
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter += 0.2 * torch.randn_like(parameter)
