"""What a training can change: none starts, or goes on after a search, with nothing to learn."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.model.mixture import PromptMixture
from mocoop.model.soft_prompts import STOP
from mocoop.templates import SLOT, Groups


def learned_numbers(model: PromptMixture, without: Sequence[nn.Module] = ()) -> int:
    """Returns how many numbers a training of a model changes.

    A vector that images add to the context (CoCoOp) needs tokens to be added to, and layers that
    compute the image tower's tokens from the context (MaPLe) need tokens to compute them from.

    Args:
        model: the model.
        without: parts of it that are not counted.
    """
    prompts = model.prompts
    behind = zip(prompts.after, prompts.learn_after, strict=True)
    shifted = (*prompts.before, *(tokens for tokens, learned in behind if learned))
    idle = list(without)
    if model.shift is not None and not any(tokens.numel() for tokens in shifted):
        idle.append(model.shift)
    if model.config.coupling and model.vision is not None and not prompts.before[0].numel():
        idle.append(model.vision)
    left_out = {id(value) for part in idle for value in part.parameters()}
    values = (value for value in model.parameters() if id(value) not in left_out)
    return sum(value.numel() for value in values if value.requires_grad)


def check_learns(model: PromptMixture, config: TrainConfig, groups: Groups) -> None:
    """Raises UserError for a training of a model that could change nothing.

    Args:
        model: the untrained model.
        config: the run's settings.
        groups: one expert each, as `expert_groups` gives them.
    """
    if config.epochs and not learned_numbers(model):
        raise _nothing_to_learn(config, groups)


def check_learnable(config: TrainConfig, groups: Groups) -> None:
    """Raises UserError if settings alone say that a training could change nothing.

    No CLIP is needed for this; `check_learns` has the last word.

    Args:
        config: the run's settings.
        groups: one expert each, as `expert_groups` gives them.
    """
    others = config.correction or config.tunes_images or any(config.text_keys)
    if not config.epochs or len(groups) > 1 or others:
        return
    # Frozen tokens too can be shifted by images, or have learned ones in their place later.
    used = config.learn_context or config.conditional or config.text_depth > 1
    if not (used and _has_tokens(config, groups)):
        raise _nothing_to_learn(config, groups)


def _has_tokens(config: TrainConfig, groups: Groups) -> bool:
    """Returns whether the first prompt starts with a token that could learn."""
    if config.context_init == "random":
        return True
    template, after_name = _start(config, groups)
    before, after = template.split(SLOT)
    return bool(before.strip()) or (after_name and bool(after.strip()))


def _start(config: TrainConfig, groups: Groups) -> tuple[str, bool]:
    """Returns the sentence that the first prompt starts from, and whether its end is learned."""
    if config.context_init == "words":
        return f"{config.context_words} {SLOT}{STOP}", False
    (template, *_), *_ = groups.values()
    return template, config.learn_after and config.learn_context


def _nothing_to_learn(config: TrainConfig, groups: Groups) -> UserError:
    """Returns the error for settings with which nothing would be learned."""
    if not config.learn_context:
        return UserError(
            "There is nothing to learn: learn_context is off, which freezes the context, and no "
            "other part is learned. Turn learn_context on, or let something else learn, such as "
            "a correction vector (correction) or LayerNorms (tune_layer_norms)."
        )
    template, _ = _start(config, groups)
    after = template.split(SLOT)[1]
    right = " and the words after it are not learned" if after.strip() else ""
    return UserError(
        f"There is nothing to learn: the prompt starts from {template!r}, which has no word "
        f"before the class name{right}. Expected a token, a correction vector or a LayerNorm "
        f"that is learned. Start from other words (context_init words starts from 'a photo of a "
        "{}.'), or turn learn_after or correction on."
    )
