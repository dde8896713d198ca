"""Measures an image tower with frozen attention against the library's own, by turns.

`python tests/measure_attention.py` prints medians of the processor time of a forward and backward
pass to the LayerNorms, and of a forward pass alone; random weights and pictures, one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import open_clip
import torch
from torch import nn
from torch.func import functional_call

from mocoop.clip.frozen_attention import FrozenAttention, use_frozen_attention
from mocoop.clip.image_layer_norms import ImageNorms


def took(act: Callable[[], object]) -> float:
    """Returns the processor seconds of a call."""
    began = time.process_time()
    act()
    return time.process_time() - began


def measure(tower: nn.Module, precision: str, rounds: int) -> None:
    """Prints a line for training and one for looking."""
    norms, pictures = ImageNorms.from_tower(tower), torch.randn(32, 3, 224, 224)

    def forward() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return functional_call(tower, norms.by_name(), (pictures,))

    def both() -> None:
        torch.autograd.grad(forward().sum(), list(norms.parameters()))

    for name, act in (("forward and backward", both), ("forward alone", torch.no_grad()(forward))):
        found: dict[bool, list[float]] = {False: [], True: []}
        for number in range(rounds + 1):
            for quick, seconds in found.items():
                for module in tower.modules():
                    if isinstance(module, FrozenAttention):
                        module.quick = quick
                spent = took(act)
                if number > 0:  # the first round warms up
                    seconds.append(spent)
        library, ours = (statistics.median(found[quick]) for quick in (False, True))
        print(f"{precision}, {name}: library {library:.2f} s, here {ours:.2f} s", flush=True)


def main() -> None:
    """Measures in fp32 and bf16."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="ViT-B-16")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tower = open_clip.create_model(asked.backbone, load_weights=False).visual
    tower = tower.eval().requires_grad_(False)
    use_frozen_attention(tower)
    for precision in ("fp32", "bf16"):
        measure(tower, precision, asked.rounds)


if __name__ == "__main__":
    main()
