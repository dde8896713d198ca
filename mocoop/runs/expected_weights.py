"""The tensors that the settings of a run with learned prompts call for: names, shapes, reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mocoop.config import TrainConfig

Shape = tuple[int | str, ...]
"""Sizes: a number, or a name for one that all tensors of a run share; `?` is any size."""
WIDTH, DIM, VISION = "width of the text tower", "size of the features", "width of the image tower"
NORMS = "norms.values."
"""What the names of trained LayerNorms begin with; only the CLIP knows them all."""

_SETTINGS: dict[str, tuple[str, ...]] = {
    "prompts.deep": ("text_depth", "text_insertion"),
    "prompts.keys": ("text_depth", "text_insertion", "text_lengths", "text_prompts"),
    "prompts": ("context_init", "context_tokens", "class_context", "learned_tokens"),
    "correction": ("correction",),
    "shift": ("conditional", "shift_per_expert"),
    "norms": ("tune_layer_norms",),
    "vision.late": ("expert_vision_depth", "vision_prompts"),
    "vision": ("vision_depth", "vision_insertion", "vision_lengths", "vision_prompts", "coupling"),
    "lora": ("lora_rank",),
}
"""What names begin with → the settings that decide about such tensors; the first that fits."""


def expected_of_prompts(config: TrainConfig, experts: int, classes: int) -> dict[str, Shape]:
    """Returns name → shape of all tensors of a trained model, without those of LayerNorms.

    Args:
        config: the run's settings.
        experts: the number of experts.
        classes: the number of trained classes.
    """
    table: dict[str, Shape] = {}
    own = (classes,) if config.class_context else ()
    before, after = _context(config)
    for g in range(experts):
        count = f"tokens before the name of prompt {g}" if before == "?" else before
        table[f"prompts.before.{g}"] = (*own, count, WIDTH)
        table[f"prompts.after.{g}"] = (*own, after, WIDTH)
        if config.text_depth > 1 and not config.text_keys:
            table[f"prompts.deep.{g}"] = (config.text_depth - 1, count, WIDTH)
    table |= _keys("prompts.keys.", config.text_keys, config.searches_text, WIDTH)
    if experts > 1:
        table |= {"gate.weight": (experts, DIM), "gate.bias": (experts,)}
    if config.correction:
        table["correction"] = (DIM,)
    if config.conditional:
        for shift in [f"shift.{g}" for g in range(experts * config.shift_per_expert)] or ["shift"]:
            table |= {
                f"{shift}.squeeze.weight": ("squeezed", DIM),
                f"{shift}.squeeze.bias": ("squeezed",),
                f"{shift}.expand.weight": (WIDTH, "squeezed"),
                f"{shift}.expand.bias": (WIDTH,),
            }
    table |= _of_images(config, experts)
    if config.lora_rank > 0:
        for tower, width in (("image", VISION), ("text", WIDTH)):
            blocks = f"blocks of the {tower} tower"
            table[f"lora.{tower}_down"] = (blocks, 3, config.lora_rank, width)
            table[f"lora.{tower}_up"] = (blocks, 3, width, config.lora_rank)
    return table


def reason(name: str, config: TrainConfig, experts: int) -> str:
    """Returns the settings that decide about a tensor, with their values, in words."""
    found = next((names for start, names in _SETTINGS.items() if _begins(name, start)), ())
    said = [f"{key} is {_words(getattr(config, key))}" for key in found if _told(config, key)]
    if name.startswith(("prompts.before", "prompts.after", "gate")):
        said.insert(0, "there is 1 expert" if experts == 1 else f"there are {experts} experts")
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def _context(config: TrainConfig) -> tuple[int | str, int | str]:
    """Returns the numbers of tokens before and after the name; `?` where words decide."""
    before: int | str = "?"
    after: int | str = "?"
    if config.context_init == "random":
        number = config.context_tokens
        before = {"end": number, "middle": number // 2, "front": 0}[config.name_position]
        after = number - before
    return config.learned_tokens or before, after


def _of_images(config: TrainConfig, experts: int) -> dict[str, Shape]:
    """Returns the learned tokens of the image tower."""
    table: dict[str, Shape] = {}
    depth, count = config.vision_depth, config.vision_prompts
    if config.expert_vision_depth > 0:
        table["vision.late"] = (experts, config.expert_vision_depth, count, VISION)
    if config.searches_images or config.vision_lengths:
        return table | _keys("vision.", config.vision_keys, config.searches_images, VISION)
    if config.coupling:
        for block in range(depth):
            table[f"vision.coupling.{block}.weight"] = (VISION, WIDTH)
            table[f"vision.coupling.{block}.bias"] = (VISION,)
    elif depth > 0:
        table["vision.values"] = (depth, count, VISION)
    return table


def _keys(prefix: str, lengths: Sequence[int], searched: bool, width: str) -> dict[str, Shape]:
    """Returns the learned keys and values of a tower's blocks; a search chooses their number."""
    return {
        f"{prefix}values.{block}": ("?" if searched else count, width)
        for block, count in enumerate(lengths)
    }


def _begins(name: str, start: str) -> bool:
    return name == start or name.startswith(f"{start}.")


def _told(config: TrainConfig, key: str) -> bool:
    """Returns whether a setting is used, and not left to others."""
    value = getattr(config, key)
    if key == "context_tokens":
        return config.context_init == "random"
    return value != () and not (key == "learned_tokens" and value == 0)


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
