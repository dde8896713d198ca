"""What a training step costs whose prompts see the image, estimated before the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mocoop.clip.device import half_of_free
from mocoop.clip.text_tower import TextTower
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.model.soft_prompts import prompt_starts
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.templates import Groups

GIB = 2**30
NUMBER = 4  # bytes of a number in fp32


@dataclass(frozen=True)
class StepCost:
    """The prompts of one training step, and the memory that they need."""

    pairs: int
    """Pairs of an image and an expert that is chosen for it; each has prompts of its own."""
    texts: int
    """Prompts to encode: one per pair and class."""
    tokens: int
    """Tokens to encode; a pair's tokens before the class name count once for all classes."""
    memory: int
    """The most bytes that a step holds besides the activations of the text tower, which have a
    limit of their own: the embeddings of all tokens, and the features of all texts."""


def step_cost(
    config: TrainConfig, tower: TextTower, groups: Groups, names: Sequence[str], images: int
) -> StepCost:
    """Returns the cost of a step with a conditional context, for the longest prompts.

    Args:
        config: the run's settings; `num_chosen` experts are chosen for every image.
        tower: the frozen text tower.
        groups: groups of templates, one expert each.
        names: names of the trained classes.
        images: the number of images of a step.
    """
    classes = ClassTokens.from_names(tower.tokens, names)
    starts = prompt_starts(config, tower, groups, torch.Generator().manual_seed(0))
    each = []
    for start in starts:
        prefix = 1 + len(start.before) + len(start.lead)
        behind = len(start.after) + len(start.tail) + 1
        each.append(prefix + int(classes.lengths.sum()) + behind * len(names))
    pairs = images * config.num_chosen
    texts = pairs * len(names)
    tokens = images * sum(sorted(each)[-config.num_chosen :])
    # The most that a step holds for every text, as measured: two tensors of the tower's width and
    # five of the features' size.
    numbers = tokens * tower.width + texts * (2 * tower.width + 5 * tower.dim)
    return StepCost(pairs, texts, tokens, NUMBER * numbers)


def check_step_cost(
    config: TrainConfig, tower: TextTower, groups: Groups, names: Sequence[str], images: int
) -> None:
    """Raises UserError if a step with a conditional context needs half of the free memory.

    The arguments are those of `step_cost`; the message has the settings that fit.
    """
    if not config.conditional:
        return
    cost = step_cost(config, tower, groups, names, images)
    budget = half_of_free(tower.positional_embedding.device)
    if cost.memory <= budget:
        return
    # Both kinds of cost grow with the number of images, those of the longest prompts with K.
    fits = [
        (chosen, cost.pairs * budget // (chosen * cost.memory))
        for chosen in range(config.num_chosen, 0, -1)
    ]
    fitting = next(((chosen, count) for chosen, count in fits if count > 0), None)
    if fitting is None:
        advice = "Train on fewer classes, or on a machine with more memory."
    elif fitting[0] == config.num_chosen:
        fewer = "" if fitting[0] == 1 else f", or num_chosen 1 with batch_size {fits[-1][1]}"
        advice = f"Choose batch_size {fitting[1]}{fewer}."
    else:
        advice = f"Choose num_chosen {fitting[0]} with batch_size {fitting[1]}."
    raise UserError(
        f"Every image has prompts of its own for each of its {config.num_chosen} experts. With "
        f"batch_size {images} a step encodes {cost.pairs:,} x {len(names):,} texts "
        f"({cost.tokens:,} tokens) and needs about {cost.memory / GIB:.1f} GiB for them; "
        f"{budget / GIB:.1f} GiB may be used here, half of the free memory. {advice}"
    )
