"""Checks of a run's settings: each value alone, and values that do not go together."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal, get_args, get_origin, get_type_hints

from mocoop.errors import UserError, choose_from
from mocoop.method_record import FEATURE_ADAPTER
from mocoop.methods import find_method
from mocoop.shots import ALL_SHOTS

if TYPE_CHECKING:
    from mocoop.config import TrainConfig

_AT_LEAST_ONE = (
    "num_chosen", "batch_size", "views", "save_every", "context_tokens", "text_depth",
    "vision_prompts", "text_prompts", "length_batch",
)  # fmt: skip
_POSITIVE = ("align_temperature", "aggregation_std")
_COUNTS = (
    "epochs", "steps_per_shot", "warmup_epochs", "key_views", "learned_tokens", "vision_depth",
    "expert_vision_depth", "lora_rank", "condition_from", "length_epochs",
)  # fmt: skip
_NON_NEGATIVE = (
    "text_weight", "text_noise", "anchor_weight", "text_consistency", "image_consistency",
    "logit_consistency", "aggregation_mean", "align_weight", "gate_weight", "learning_rate",
    "gate_rate", "layer_norm_rate", "vision_rate", "momentum", "weight_decay", "warmup_rate",
    "final_rate", "clip_norm", "residual_ratio", "lora_alpha", "length_rate",
)  # fmt: skip


def check_settings(config: TrainConfig) -> None:
    """Raises UserError for a value, or a combination of values, that has no meaning."""
    method = find_method(config.method)
    for name, choices in _choices().items():
        if getattr(config, name) not in choices:
            raise choose_from(name, getattr(config, name), choices)
    if config.shots != ALL_SHOTS and config.shots < 1:
        raise UserError(f"shots must be at least 1, or all; got {config.shots}.")
    for name in _AT_LEAST_ONE:
        _at_least(config, name, 1)
    for name in (*_NON_NEGATIVE, *_COUNTS):
        _at_least(config, name, 0)
    if config.epochs > 0 and not method.learns_in_epochs:
        raise UserError(
            f"{config.method} is not trained in epochs: epochs must be 0; got {config.epochs}. "
            "To train a prompt, use a method such as coop."
        )
    if method.classifier == FEATURE_ADAPTER and config.residual_ratio > 1:
        raise UserError(
            f"residual_ratio is the share of the adapted feature with {config.method}: expected "
            f"0 to 1, got {config.residual_ratio:g}."
        )
    for name in _POSITIVE:
        if not 0 < getattr(config, name) < float("inf"):
            raise UserError(f"{name} must be greater than 0; got {getattr(config, name)}.")
    if config.aggregation != "none" and not method.learns_prompts:
        raise UserError(
            f"aggregation averages learned prompts over the epochs, but {config.method} learns "
            "none. Use aggregation none, or a method such as coop."
        )
    if not 0 <= config.seed < 2**32:
        raise UserError(f"seed must be from 0 to 4294967295; got {config.seed}.")
    if config.groups is not None:
        config.check_num_chosen(len(config.groups))
    _check_image_side(config)
    _check_context(config)
    _check_lengths(config)
    _check_steps(config)


@cache
def _choices() -> dict[str, tuple[str, ...]]:
    """Returns the possible values of each setting that is chosen from a list."""
    from mocoop.config import TrainConfig  # which imports this module

    hints = get_type_hints(TrainConfig)
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}


def _check_image_side(config: TrainConfig) -> None:
    """Raises UserError for settings that would make cached image features wrong."""
    live = [
        name
        for name, used in (
            ("tune_layer_norms", config.tune_layer_norms),
            ("vision_depth", config.vision_depth > 0),
            ("expert_vision_depth", config.expert_vision_depth > 0),
            ("lora_rank", config.lora_rank > 0),
            ("augment crops", config.augment != "none"),
        )
        if used
    ]
    if config.image_cache and live:
        raise UserError(
            f"{live[0]} changes the image features in every step, so they cannot be cached: "
            "turn image_cache off, or use cached views instead of random crops."
        )
    if config.image_consistency > 0 and not config.tunes_images:
        raise UserError(
            "image_consistency keeps the image tower's features close to the frozen ones, but "
            "nothing is learned in the image tower. Set it to 0, or give the tower learned "
            "tokens (vision_depth)."
        )
    if config.coupling and (config.vision_depth != config.text_depth or config.groups_differ()):
        raise UserError(
            f"With coupling the image tower's tokens are computed from those of one prompt, "
            f"block by block, but text_depth is {config.text_depth} and vision_depth "
            f"{config.vision_depth}. Give both the same depth, and one group of templates."
        )
    if config.coupling and config.class_context:
        raise UserError(
            "With coupling the image tower's tokens are computed from the context, which must be "
            "the same for all classes. Turn class_context or coupling off."
        )
    if config.coupling and config.learned_tokens not in (0, config.vision_prompts):
        raise coupled_tokens(config.vision_prompts, config.learned_tokens)
    if config.expert_vision_depth:
        _check_expert_tokens(config)
    if not config.image_cache and config.views > 1:
        raise UserError(
            f"views is {config.views}, but views are cached features and image_cache is off. "
            "Use augment crops, or turn the cache on."
        )


def coupled_tokens(given: int, learned: int) -> UserError:
    """Returns the error for another number of image tokens than are computed with coupling.

    Args:
        given: vision_prompts.
        learned: the number of tokens before the class name that are learned.
    """
    return UserError(
        "With coupling the image tower's tokens are computed from those of the text tower, one "
        f"from each: vision_prompts is {given}, but {learned} tokens before the class name are "
        f"learned. Set vision_prompts to {learned}, or learned_tokens to {given}."
    )


def _check_expert_tokens(config: TrainConfig) -> None:
    """Raises UserError for settings that do not go with tokens of each expert."""
    if not find_method(config.method).is_mixture or config.router_input != "frozen":
        raise UserError(
            "expert_vision_depth gives the experts of a mixture tokens of their own, which a "
            "router chooses by the frozen image tower's feature. Use it with a mixture such "
            "as mocoop-v and router_input frozen, or set it to 0."
        )
    if config.compares_images or config.conditional or config.align_gradient or config.coupling:
        raise UserError(
            "With expert_vision_depth an image has a feature for each of its experts. Use it "
            "without image_consistency, logit_consistency, conditional, align_gradient and "
            "coupling."
        )


def _check_context(config: TrainConfig) -> None:
    """Raises UserError for combinations of context settings that have no meaning."""
    if config.class_context and config.classes == "base":
        raise UserError(
            "With class_context every class learns its own context, so that new classes have "
            "none. Train on all classes, or turn class_context off."
        )
    if config.text_depth > 1 and config.class_context and config.text_insertion == "replace":
        raise UserError(
            "Learned tokens in later blocks of the text tower (text_depth) are the same for "
            "all classes: turn class_context off."
        )
    if config.conditional and (config.class_context or config.align_gradient):
        raise UserError(
            "A conditional context changes with every image, and is the same for all classes. "
            "Use it without class_context and align_gradient."
        )
    if config.conditional and config.condition_from >= config.text_depth:
        raise UserError(
            f"condition_from is {config.condition_from}, but the text tower has learned tokens "
            f"only in its first blocks, 0 to {config.text_depth - 1} (text_depth is "
            f"{config.text_depth}). Choose an earlier block, or a larger text_depth."
        )
    if config.context_init == "random" and config.name_position == "middle":
        _at_least(config, "context_tokens", 2)
    if config.text_templates == "fixed" and config.context_init == "template":
        raise UserError(
            "With text_templates fixed the templates are only compared with; none of them is "
            "the prompt's start. Choose context_init words or random."
        )


def _check_lengths(config: TrainConfig) -> None:
    """Raises UserError for lengths, or a search of them, that do not fit the blocks."""
    for side in ("text", "vision"):
        lengths = getattr(config, f"{side}_lengths")
        depth, insertion = getattr(config, f"{side}_depth"), getattr(config, f"{side}_insertion")
        if not lengths:
            continue
        if insertion != "keys" or len(lengths) != depth or min(lengths) < 0:
            raise UserError(
                f"{side}_lengths gives the number of tokens, 0 or more, of each of the "
                f"{side}_depth blocks, with {side}_insertion keys. Got {len(lengths)} lengths "
                f"({', '.join(map(str, lengths))}), {side}_depth {depth} and {side}_insertion "
                f"{insertion}."
            )
    keys = config.text_insertion == "keys"
    if config.coupling and (keys or config.vision_lengths):
        raise UserError(
            "With coupling every block has the same number of tokens, which replace the "
            "outputs of others in the text tower: leave text_insertion at replace, and "
            "vision_lengths empty."
        )
    if keys and (config.lora_rank > 0 or (config.conditional and config.condition_from > 0)):
        raise UserError(
            "Learned keys and values of the text tower (text_insertion keys) go neither with "
            "low-rank updates (lora_rank) nor with a vector that is added to the tokens of "
            "later blocks (condition_from)."
        )
    if config.searches_lengths and (config.lora_rank > 0 or config.aggregation != "none"):
        raise UserError(
            "A search of lengths (length_epochs) goes neither with low-rank updates "
            "(lora_rank) nor with aggregation. Set lora_rank to 0 and aggregation to none, or "
            "give the lengths (vision_lengths, text_lengths)."
        )
    if config.searches_lengths and config.expert_vision_depth:
        raise UserError(
            "A search of lengths (length_epochs) knows no tokens of each expert "
            "(expert_vision_depth). Set one of them to 0, or give the lengths "
            "(vision_lengths, text_lengths)."
        )
    if config.length_epochs > 0 and not (keys or config.vision_keys):
        raise UserError(
            "length_epochs searches for the number of tokens that are only keys and values, "
            "but no block has such tokens. Set it to 0, or text_insertion or vision_insertion "
            "to keys."
        )


def _check_steps(config: TrainConfig) -> None:
    """Raises UserError for numbers of steps, rates or shares that have no meaning."""
    if not 0 <= config.lora_dropout < 1:
        raise UserError(f"lora_dropout must be from 0 to less than 1; got {config.lora_dropout}.")
    if 0 < config.steps_per_shot < config.epochs:
        raise UserError(
            f"steps_per_shot is {config.steps_per_shot}, which cannot be divided into "
            f"{config.epochs} epochs of at least one step. Choose fewer epochs, or more steps."
        )
    if config.schedule_by == "step" and config.warmup_epochs > 0:
        raise UserError(
            "With schedule_by step the learning rate falls from the first step on, without a "
            f"warm-up: set warmup_epochs to 0; got {config.warmup_epochs}."
        )


def _at_least(config: TrainConfig, name: str, least: int) -> None:
    """Raises UserError unless a setting is a finite number and at least `least`."""
    value = getattr(config, name)
    if not least <= value < float("inf"):
        raise UserError(f"{name} must be at least {least}; got {value}.")
