"""How the weights of the small CLIP of scenes are moved: Muon and AdamW, and their rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mocoop.errors import UserError
from mocoop.small_clip.config import SmallClipConfig


def optimizers(
    modules: Sequence[nn.Module], config: SmallClipConfig
) -> list[torch.optim.Optimizer]:
    """Returns the optimisers of all parameters of some modules.

    Muon takes the matrices of transformer blocks, scaled so that one rate serves both; AdamW the
    rest, with weight decay on matrices only (rare tokens must not fade).

    Raises:
        UserError: if this torch has no Muon.
    """
    blocks: list[Tensor] = []
    decayed: list[Tensor] = []
    kept: list[Tensor] = []
    for name, parameter in (pair for module in modules for pair in module.named_parameters()):
        if parameter.ndim < 2 or "embedding" in name:
            kept.append(parameter)
        elif config.optimizer == "muon" and "resblocks" in name and parameter.ndim == 2:
            blocks.append(parameter)
        else:
            decayed.append(parameter)
    decay, rate = config.weight_decay, config.learning_rate
    groups = [
        {"params": decayed, "weight_decay": decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), eps=1e-6, foreach=True)
    if not blocks:
        return [adam]
    if not hasattr(torch.optim, "Muon"):
        raise UserError(
            f"The optimiser muon needs torch 2.9 or newer; this is {torch.__version__}. Update "
            "torch, or choose --optimizer adamw."
        )
    muon = torch.optim.Muon(blocks, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    return [adam, muon]


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def rate_of_step(step: int, config: SmallClipConfig) -> float:
    """Returns the rate of a step (1-based): linear warm-up, then cosine to zero."""
    warmup = max(1, round(config.warmup * config.steps))
    if step <= warmup:
        return config.learning_rate * step / warmup
    along = (step - warmup) / max(1, config.steps - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * along))
