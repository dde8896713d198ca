"""Which parts of a CLIP's two towers, and beside them, a method learns with some settings."""

from __future__ import annotations

from dataclasses import dataclass

from app.train import tower_words as words
from mocoop.config import TrainConfig
from mocoop.methods import METHODS


@dataclass(frozen=True)
class LearnedParts:
    """What is learned; everything else stays as CLIP has it."""

    context: bool = False
    """Tokens before the class name."""
    first_words: int = 0
    """How many of these tokens are learned; 0 for all."""
    after: bool = False
    """Tokens after the class name."""
    several: bool = False
    """Whether there are several experts, each with such tokens."""
    per_class: bool = False
    """Whether every class has such tokens of its own."""
    text_depth: int = 1
    """The text tower's first blocks with learned tokens; 1 if only its input has them."""
    text_keys: tuple[int, ...] = ()
    """Learned tokens in each of the text tower's first blocks that are only keys and values."""
    correction: bool = False
    """A vector that is added to all text features."""
    image_depth: int = 0
    """The image tower's first blocks with learned tokens."""
    image_tokens: int = 0
    """Their number in each of these blocks."""
    expert_depth: int = 0
    """The image tower's last blocks with such tokens of each expert."""
    image_keys: tuple[int, ...] = ()
    """As `text_keys`, of the image tower, where the numbers are given or searched for."""
    searched: bool = False
    """Whether a search chooses these numbers, which are the largest ones then."""
    coupling: bool = False
    """Whether they are computed from the text tower's, by layers that are learned."""
    layer_norms: bool = False
    """The LayerNorms of the image tower's blocks."""
    low_rank: bool = False
    """Low-rank updates of the attention in every block of both towers."""
    router: bool = False
    """The layer that scores the experts for an image."""
    meta_net: bool = False
    """The network that changes the context for every image."""
    text_side: str = ""
    """The label of what is learned on text features; "" if nothing."""
    image_side: str = ""
    """The label of what is learned on image features; "" if nothing."""
    uses_text: bool = True
    """Whether the text tower is used at all."""

    def in_words(self) -> str:
        """Returns what is learned and what is not, in two sentences."""
        parts = []
        owner = words.owner(self.several, self.per_class)
        if self.context:
            parts.append(words.context(self.first_words, owner))
        if self.after:
            parts.append(words.AFTER)
        if self.text_depth > 1:
            parts.append(words.in_text_blocks(self.text_depth))
        if self.text_keys:
            parts.append(words.keys_in_text(self.text_keys, self.searched))
        if self.correction:
            parts.append(words.CORRECTION)
        if self.image_keys:
            parts.append(words.keys_in_image(self.image_keys, self.searched))
        elif self.image_depth:
            parts.append(words.in_image_blocks(self.image_tokens, self.image_depth, self.coupling))
        if self.expert_depth:
            parts.append(words.in_last_blocks(self.image_tokens, self.expert_depth))
        if self.layer_norms:
            parts.append(words.LAYER_NORMS)
        if self.low_rank:
            parts.append(words.LOW_RANK)
        if self.router:
            parts.append(words.ROUTER)
        if self.meta_net:
            parts.append(words.META_NET)
        parts += [words.BESIDE[label] for label in (self.text_side, self.image_side) if label]
        return words.learned(parts, self.uses_text)


def learned_parts(config: TrainConfig, experts: int) -> LearnedParts:
    """Returns the parts that a training with these settings learns.

    Args:
        config: the settings.
        experts: the number of groups of templates, one expert each.
    """
    method = METHODS[config.method]
    learns = method.learns != "nothing"
    if not method.learns_prompts:
        text, image = words.FEATURE_SIDE.get(method.classifier, ("", ""))
        return LearnedParts(
            text_side=text if learns else "",
            image_side=image if learns else "",
            uses_text=method.classifier not in words.WITHOUT_TEXT,
        )
    several = method.is_mixture and experts > 1
    prompt = learns and config.learn_context
    text_keys = _up_to_the_last(config.text_keys) if learns else ()
    # The same number in every block is said as for other tokens of the image tower.
    own = learns and (config.searches_images or bool(config.vision_lengths))
    image_keys = _up_to_the_last(config.vision_keys) if own else ()
    return LearnedParts(
        context=prompt,
        first_words=config.learned_tokens if prompt else 0,
        after=prompt and config.learn_after,
        several=several,
        per_class=config.class_context,
        text_depth=config.text_depth if learns and not config.text_keys else 1,
        text_keys=text_keys,
        correction=learns and config.correction,
        image_depth=len(image_keys) if own else config.vision_depth if learns else 0,
        image_tokens=config.vision_prompts,
        expert_depth=config.expert_vision_depth if learns else 0,
        image_keys=image_keys,
        searched=learns and config.searches_lengths,
        coupling=config.coupling,
        layer_norms=config.tune_layer_norms,
        low_rank=config.lora_rank > 0,
        router=several,
        meta_net=learns and config.conditional,
    )


def _up_to_the_last(lengths: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the numbers of tokens up to the last block that has any."""
    last = max((block for block, count in enumerate(lengths, 1) if count), default=0)
    return lengths[:last]
