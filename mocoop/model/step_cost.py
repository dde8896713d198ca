"""What a training step costs whose prompts see the image, estimated before the training."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from mocoop.clip.device import half_of_free
from mocoop.clip.text_tower import TextTower
from mocoop.config import TrainConfig
from mocoop.errors import UserError, UserNote
from mocoop.model.soft_prompts import prompt_starts
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.templates import Groups

GIB = 2**30
NUMBER = 4  # bytes of a number in fp32
# Seconds of a token, forward and backward in fp32 through ViT-B/16's text tower, and where: from
# the two largest steps of `assets/bench`, as docs/cost_model.py reads them.
TOKEN_SECONDS = {"cpu": (1.69e-3, "on one core of a CPU"), "cuda": (3.07e-6, "on an H100")}
BLOCKS, TOWER_WIDTH = 12, 512  # of that tower
LONG_STEP, LONG_TRAINING = 10.0, 3600.0  # seconds from which a note tells the time
UNITS = (("day", 86_400.0), ("hour", 3600.0), ("minute", 60.0), ("second", 1.0))


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
    seconds: float
    """The time of a step in fp32, on one core of a CPU or on an H100. A tower of another size
    needs as much more or less as its blocks have numbers."""


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
    seconds = _seconds(config, tower, tokens, sum(each))
    return StepCost(pairs, texts, tokens, NUMBER * numbers, seconds)


def _seconds(config: TrainConfig, tower: TextTower, tokens: int, once: int) -> float:
    """Returns the time of a step.

    Args:
        config: the run's settings.
        tower: the frozen text tower.
        tokens: tokens of the prompts that images change.
        once: tokens of all experts' prompts, which the text loss and the blocks below
            `condition_from` encode once.
    """
    blocks = len(list(tower.transformer.resblocks))
    below = config.condition_from / blocks if tower.shares_prefixes else 0.0
    work = tokens * (1 - below) + once * (below + (config.text_weight > 0))
    per_token, _ = TOKEN_SECONDS[_place(tower)]
    return per_token * work * blocks * tower.width**2 / (BLOCKS * TOWER_WIDTH**2)


def _place(tower: TextTower) -> str:
    """Returns the kind of device for which there is a measure: a GPU, or else a CPU."""
    return "cuda" if tower.positional_embedding.device.type == "cuda" else "cpu"


def check_step_cost(
    config: TrainConfig,
    tower: TextTower,
    groups: Groups,
    names: Sequence[str],
    images: int,
    steps: int = 1,
) -> None:
    """Raises UserError if a step with a conditional context needs half of the free memory.

    The message has the settings that fit. Where it fits and takes long, a `UserNote` tells how
    long before the training starts.

    Args:
        config, tower, groups, names, images: those of `step_cost`.
        steps: the number of steps of the training.
    """
    if not config.conditional:
        return
    cost = step_cost(config, tower, groups, names, images)
    budget = half_of_free(tower.positional_embedding.device)
    if cost.memory <= budget:
        if cost.seconds >= LONG_STEP or steps * cost.seconds >= LONG_TRAINING:
            one = step_cost(replace(config, num_chosen=1), tower, groups, names, images)
            warnings.warn(_long_note(config, tower, cost, one, steps), UserNote, stacklevel=2)
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
        other = "" if fitting[0] == 1 else f", or num_chosen 1 with batch_size {fits[-1][1]}"
        advice = f"Choose batch_size {fitting[1]}{other}."
    else:
        advice = f"Choose num_chosen {fitting[0]} with batch_size {fitting[1]}."
    raise UserError(
        f"Every image has prompts of its own for each of its {config.num_chosen} experts. With "
        f"batch_size {images} a step encodes {cost.pairs:,} x {len(names):,} texts "
        f"({cost.tokens:,} tokens) and needs about {cost.memory / GIB:.1f} GiB for them, and "
        f"{_in_words(cost.seconds)} {TOKEN_SECONDS[_place(tower)][1]}; "
        f"{budget / GIB:.1f} GiB may be used here, half of the free memory. {advice}"
    )


def _long_note(
    config: TrainConfig, tower: TextTower, cost: StepCost, fewer: StepCost, steps: int
) -> str:
    """Returns how long a step and a training take, and with one expert per image.

    Args:
        config: the run's settings.
        tower: the frozen text tower.
        cost: of a step.
        fewer: of a step with one expert per image.
        steps: the number of steps of the training.
    """
    chosen = config.num_chosen
    owner = f"for each of its {chosen} experts, so that" if chosen > 1 else "of its own:"
    one = f" With num_chosen 1 they take {_in_words(steps * fewer.seconds)}." * (chosen > 1)
    return (
        f"Every image has prompts {owner} a step encodes {cost.texts:,} texts ({cost.tokens:,} "
        f"tokens). It takes about {_in_words(cost.seconds)} {TOKEN_SECONDS[_place(tower)][1]} in "
        f"fp32, and the training's {steps:,} steps about {_in_words(steps * cost.seconds)}.{one} "
        "Fewer classes or images take less too."
    )


def _in_words(seconds: float) -> str:
    """Returns a time in the largest unit of which there are at least two: `27 minutes`."""
    name, size = next((u for u in UNITS if seconds >= 2 * u[1]), UNITS[-1])
    number = f"{seconds / size:,.0f}" if seconds >= 1 else f"{seconds:.1g}"
    return f"{number} {name}{'' if number == '1' else 's'}"
