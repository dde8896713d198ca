"""Plain training: SGD by the textbook, CoOp's schedule, and an image tower that is tuned."""

from __future__ import annotations

import copy
import math

import torch


class PlainImageTower:
    """A copy of an image tower; of its blocks `ln_1` and `ln_2` are learnt if `tuned`."""

    def __init__(self, visual, tuned):
        self.visual = copy.deepcopy(visual).requires_grad_(False)
        self.learnt = {}
        for index, block in enumerate(self.visual.transformer.resblocks):
            for name in ("ln_1", "ln_2"):
                for part, value in getattr(block, name).named_parameters():
                    value.requires_grad_(tuned)
                    if tuned:
                        self.learnt[f"transformer.resblocks.{index}.{name}.{part}"] = value

    def features(self, pictures):
        """Returns normalised features (batch, dim), picture by picture."""
        rows = [self.visual(picture[None])[0] for picture in pictures]
        return torch.stack([row / row.norm() for row in rows])


class PlainSGD:
    """SGD with momentum and weight decay, number by number as in the textbook.

    Args:
        learnt: name → tensor.
        share: name → the multiple of the learning rate that it moves at.
    """

    def __init__(self, learnt, share, momentum, weight_decay, clip_norm):
        self.learnt, self.share = learnt, share
        self.momentum, self.weight_decay, self.clip_norm = momentum, weight_decay, clip_norm
        self.velocity = {}

    @torch.no_grad()
    def step(self, gradients, rate):
        """Moves everything by its gradient; returns the gradients as they were clipped."""
        norm = math.sqrt(sum(float(g.double().square().sum()) for g in gradients.values()))
        if self.clip_norm > 0 and norm > self.clip_norm:
            gradients = {name: g * (self.clip_norm / norm) for name, g in gradients.items()}
        for name, value in self.learnt.items():
            change = gradients[name] + self.weight_decay * value
            if name in self.velocity:
                change = self.momentum * self.velocity[name] + change
            self.velocity[name] = change
            value -= rate * self.share[name] * change
        return gradients


def plain_rate(epoch, epochs, peak, warmup_epochs, warmup_rate):
    """Returns CoOp's learning rate of an epoch from 1: constant warm-up, then the cosine."""
    if epoch <= warmup_epochs:
        return warmup_rate
    return peak * (1 + math.cos(math.pi * (epoch - 1 - warmup_epochs) / epochs)) / 2
