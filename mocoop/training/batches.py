"""The steps of an epoch: which images each of them sees, and how many there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mocoop.config import TrainConfig
from mocoop.shots import ALL_SHOTS


def batches_of(
    num_images: int, config: TrainConfig, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Returns the image indices of each step of an epoch, in random order.

    With `drop_last` a last batch that is not full is left out, as in Dassl, on which CoOp's code
    is built. If there are fewer images than one batch holds, they are one batch all the same.

    Args:
        num_images: number of training images.
        config: gives `batch_size` and `drop_last`.
        generator: draws the order; a CPU generator.
    """
    batches = torch.randperm(num_images, generator=generator).split(config.batch_size)
    dropped = config.drop_last and len(batches) > 1 and len(batches[-1]) < config.batch_size
    return batches[:-1] if dropped else batches


def step_counts(num_images: int, num_classes: int, config: TrainConfig) -> list[int]:
    """Returns the number of steps of each epoch.

    With `steps_per_shot` all epochs together have that many steps per training image of a class.

    Args:
        num_images: number of training images.
        num_classes: number of trained classes.
        config: the run's settings.
    """
    if not config.steps_per_shot:
        generator = torch.Generator().manual_seed(0)
        return [len(batches_of(num_images, config, generator))] * config.epochs
    per_class = math.ceil(num_images / num_classes)
    total = config.steps_per_shot * (per_class if config.shots == ALL_SHOTS else config.shots)
    ends = [total * epoch // config.epochs for epoch in range(config.epochs + 1)]
    return [end - start for start, end in pairwise(ends)]


def epoch_batches(
    num_images: int,
    counts: Sequence[int],
    epoch: int,
    config: TrainConfig,
    generator: torch.Generator,
) -> list[tuple[Tensor, int]]:
    """Returns the image indices of each step of an epoch, and the number of the pass over them.

    Every pass over the images has random crops of its own. Without `steps_per_shot` an epoch is
    one pass, with the epoch's number.

    Args:
        num_images: number of training images.
        counts: the number of steps of each epoch, from `step_counts`.
        epoch: the epoch, from 1.
        config: the run's settings.
        generator: draws the order; a CPU generator.
    """
    if not config.steps_per_shot:
        return [(chosen, epoch) for chosen in batches_of(num_images, config, generator)]
    steps: list[tuple[Tensor, int]] = []
    passes = 0
    while len(steps) < counts[epoch - 1]:
        passes += 1
        batches = batches_of(num_images, config, generator)
        most = math.ceil(max(counts) / len(batches))  # passes of an epoch
        steps += [(chosen, (epoch - 1) * most + passes) for chosen in batches]
    return steps[: counts[epoch - 1]]
