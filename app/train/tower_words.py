"""The texts of the drawing of CLIP's two towers on the Train page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mocoop.method_record import (
    BLENDED_PROBE,
    FEATURE_ADAPTER,
    IMAGE_CACHE,
    LINEAR_PROBE,
    TASK_RESIDUAL,
)

# Labels in the drawing.
TEXT_TOWER, IMAGE_TOWER = "text tower", "image tower"
NOT_USED = "text tower, not used"
NAME, PATCHES = "class name", "patches"
TEXT_FEATURES, IMAGE_FEATURE = "text features", "image feature"
SCORES = "class scores"
VECTOR, ROUTER_LABEL, META_NET_LABEL, NORMS_LABEL = "+ vector", "router", "meta-net", "LayerNorms"
LOW_RANK_LABEL = "LoRA"

RESIDUALS, WEIGHTS = "+ vectors", "× weights"
LAYER, ADAPTER, CACHE = "linear layer", "adapter", "image cache"
FEATURE_SIDE: Mapping[str, tuple[str, str]] = {
    TASK_RESIDUAL: (RESIDUALS, ""),
    FEATURE_ADAPTER: ("", ADAPTER),
    LINEAR_PROBE: ("", LAYER),
    IMAGE_CACHE: ("", CACHE),
    BLENDED_PROBE: (WEIGHTS, LAYER),
}
"""Kind of classifier → the labels of what it learns on text and on image features."""
WITHOUT_TEXT = (LINEAR_PROBE,)
"""Kinds of classifiers that do not use the text tower."""

# What is learned, as parts of a sentence.
AFTER = "the tokens after it"
CORRECTION = "a vector that is added to all text features"
LAYER_NORMS = "the LayerNorms of the image tower's blocks"
LOW_RANK = "low-rank changes of the attention in every block of both towers"
ROUTER = "the router, which chooses experts by the image"
META_NET = "the meta-net, which changes the prompt for every image"
BESIDE = {
    RESIDUALS: "a vector per class that is added to its text feature",
    WEIGHTS: "a weight of the text per class",
    LAYER: "a linear layer on the image feature",
    ADAPTER: "a small network on the image feature",
    CACHE: "the stored features of the training images",
}
NOTHING = "Nothing is learned: both towers are as CLIP has them."


def owner(several: bool, per_class: bool) -> str:
    """Returns whose context is learned; "" for one that all images and classes share."""
    return " of every expert" if several else " of every class" if per_class else ""


def context(first: int, whose: str) -> str:
    """Returns that tokens before the name are learned: the `first` ones, or all for 0."""
    tokens = f"first {first} tokens" if first > 1 else "first token" if first else "tokens"
    return f"the {tokens} before the class name{whose}"


def in_text_blocks(depth: int) -> str:
    """Returns that blocks of the text tower have learned tokens."""
    blocks = "block 2" if depth == 2 else f"blocks 2 to {depth}"
    return f"tokens in {blocks} of the text tower"


def in_image_blocks(count: int, depth: int, coupled: bool) -> str:
    """Returns that blocks of the image tower have `count` learned tokens each."""
    tokens = f"{count} token{'s' * (count > 1)}"
    if coupled:
        return f"the layers that compute {tokens} in {first_blocks(depth)} of the image tower"
    return f"{tokens} in {first_blocks(depth)} of the image tower"


def in_last_blocks(count: int, depth: int) -> str:
    """Returns that each expert has `count` tokens in the image tower's last blocks."""
    tokens = f"{count} token{'s' * (count > 1)}"
    blocks = "the last block" if depth == 1 else f"the last {depth} blocks"
    return f"{tokens} of each expert in {blocks} of the image tower"


def keys_in_text(lengths: Sequence[int], searched: bool) -> str:
    """Returns that blocks of the text tower have learned keys and values."""
    return _keys(lengths, searched, "text")


def keys_in_image(lengths: Sequence[int], searched: bool) -> str:
    """Returns that blocks of the image tower have learned keys and values."""
    return _keys(lengths, searched, "image")


def _keys(lengths: Sequence[int], searched: bool, tower: str) -> str:
    """Returns that blocks of a tower have learned keys and values.

    Args:
        lengths: the number of tokens of each of the first blocks.
        searched: whether a search chooses these numbers, which are the largest ones then.
        tower: "text" or "image".
    """
    where = f"{first_blocks(len(lengths))} of the {tower} tower"
    if searched:
        return f"0 to {max(lengths)} tokens in {where}, as a search chooses"
    numbers = ", ".join(map(str, lengths))
    return f"tokens to which all others attend in {where} ({numbers})"


def numbers(lengths: Sequence[int], searched: bool) -> str:
    """Returns the numbers of tokens of some blocks for the drawing; "" without any."""
    if not lengths:
        return ""
    return f"0–{max(lengths)} tokens" if searched else "·".join(map(str, lengths))


def first_blocks(depth: int) -> str:
    """Returns the first blocks of a tower."""
    return "block 1" if depth == 1 else f"each of blocks 1 to {depth}"


def zone(first: int, last: int | None = None) -> str:
    """Returns the label of some of a tower's blocks; None stands for an unknown last one."""
    if last is None:
        return "all blocks" if first == 1 else "later blocks"
    return f"block {first}" if first == last else f"blocks {first}–{last}"


def learned(parts: Sequence[str], uses_text: bool) -> str:
    """Returns what is learned and what is not, as two sentences."""
    if not parts:
        return NOTHING
    *most, last = parts
    listed = f"{', '.join(most)} and {last}" if most else last
    rest = "All else" if uses_text else "The text tower is not used. All else"
    return f"Learned, in blue: {listed}. {rest} stays as CLIP has it."
