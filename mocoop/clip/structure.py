"""What a CLIP computes with its weights, as far as weights and shapes do not tell it.

Two configurations can take the same weights and give different features: with GELU or QuickGELU,
with fewer and wider attention heads, or with another number inside the LayerNorms.
"""

from __future__ import annotations

from collections.abc import Iterator

from open_clip.transformer import QuickGELU
from torch import nn

USUAL_HEADS = (64, 32)  # widths: of nearly every CLIP, and of the built-in one
USUAL_EPSILON = 1e-5


def unusual_parts(model: nn.Module) -> str:
    """Returns what is not as in open_clip's usual models; "" if nothing is.

    Usual are GELU, heads of 64 numbers, LayerNorms with 1e-5, and a feature from [CLS].
    """
    return ", ".join(sorted(set(_unusual(model))))


def _unusual(model: nn.Module) -> Iterator[str]:
    for module in model.modules():
        if isinstance(module, QuickGELU):
            yield "QuickGELU"
        elif isinstance(module, nn.GELU) and module.approximate != "none":
            yield f"GELU {module.approximate}"
        elif isinstance(module, nn.LayerNorm) and module.eps != USUAL_EPSILON:
            yield f"LayerNorm {module.eps:g}"
        elif isinstance(module, nn.MultiheadAttention) and module.head_dim not in USUAL_HEADS:
            yield f"heads of {module.head_dim}"
    pool = getattr(getattr(model, "visual", None), "pool_type", "tok")
    if pool != "tok":
        yield f"pool {pool}"
