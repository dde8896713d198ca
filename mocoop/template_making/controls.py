"""Groups to compare with: one group, random groups, random words, and the hand-made groups."""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Sequence

from open_clip import SimpleTokenizer

from mocoop.templates import SLOT, Groups

ONE, RANDOM, WAFFLE, HAND = "one-group", "random-groups", "random-words", "hand-made"
_WORD_LENGTHS = range(3, 11)


def controls(
    groups: Groups,
    every: Sequence[str],
    hand_made: Groups,
    tokenizer: SimpleTokenizer,
    names: Sequence[str],
    seed: int,
) -> dict[str, Groups]:
    """Returns the controls of a grouping by their names.

    Args:
        groups: the groups to compare with.
        every: all templates that could be grouped.
        hand_made: the groups that the data set has.
        tokenizer: CLIP's tokenizer, whose vocabulary gives the random words.
        names: the class names, whose mean length the random words have.
        seed: seed of all that is random.
    """
    sizes = [len(templates) for templates in groups.values()]
    words = random_words(tokenizer, names, sum(sizes), seed)
    return {
        ONE: {"all": tuple(every)},
        RANDOM: _dealt(random.Random(seed).sample(list(every), sum(sizes)), sizes),
        WAFFLE: _dealt(words, sizes),
        HAND: dict(hand_made),
    }


def random_words(
    tokenizer: SimpleTokenizer, names: Sequence[str], count: int, seed: int
) -> list[str]:
    """Returns templates with random words, and with random letters, in turns.

    Their number of words and of letters is that of the mean class name, as in WaffleCLIP (Roth
    et al., arXiv 2306.07282): "a photo of a {}, which has ...". Whatever is written by a model
    must be better than these.

    Args:
        tokenizer: CLIP's tokenizer; the words are whole words of its vocabulary.
        names: the class names.
        count: number of templates.
        seed: seed of the generator.
    """
    generator = random.Random(seed)
    vocabulary = sorted(
        word.removesuffix("</w>")
        for word in tokenizer.encoder
        if word.endswith("</w>") and _is_word(word.removesuffix("</w>"))
    )
    number = max(1, round(sum(len(name.split()) for name in names) / len(names)))
    length = max(2, round(sum(map(len, names)) / sum(len(name.split()) for name in names)))
    found: dict[str, None] = {}
    for turn in itertools.count():
        if len(found) == count:
            break
        if turn % 2:  # of short names there are few such words, so that some are drawn again
            pieces = [
                "".join(generator.choices(string.ascii_lowercase, k=length)) for _ in range(number)
            ]
        else:
            pieces = generator.sample(vocabulary, number)
        found[f"a photo of a {SLOT}, which has {' '.join(pieces)}."] = None
    return list(found)


def _is_word(text: str) -> bool:
    return text.isascii() and text.isalpha() and len(text) in _WORD_LENGTHS


def _dealt(templates: Sequence[str], sizes: Sequence[int]) -> Groups:
    """Returns groups of the given sizes, filled in the templates' order."""
    groups, start = {}, 0
    for number, size in enumerate(sizes, 1):
        groups[f"group {number}"] = tuple(templates[start : start + size])
        start += size
    return groups
