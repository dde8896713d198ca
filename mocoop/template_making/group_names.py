"""Names of groups: the words that set a group apart from the others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from mocoop.templates import SLOT

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_STOP = (
    "a", "an", "the", "of", "in", "on", "at", "by", "with", "from", "to", "and", "or", "is",
    "are", "this", "that", "photo", "picture", "image",
)  # fmt: skip
WORDS = 2  # at most, of a name
ENOUGH = 0.2  # by how much a word's share must be larger in the group than outside


def group_names(groups: Sequence[Sequence[str]]) -> list[str]:
    """Returns a different name for every group of templates.

    A word counts by the share of the group's templates that have it, minus its share in the
    other groups' templates. A group without such a word is named by its first template, its
    medoid.

    Args:
        groups: the templates of each group, the medoid first.
    """
    counts = [Counter(word for text in group for word in set(_words(text))) for group in groups]
    names: list[str] = []
    for index, group in enumerate(groups):
        outside = sum(len(other) for other in groups) - len(group)
        scores = {}
        for word, count in counts[index].items():
            elsewhere = sum(c[word] for i, c in enumerate(counts) if i != index)
            scores[word] = count / len(group) - (elsewhere / outside if outside else 0.0)
        best = sorted(scores, key=lambda word: (-round(scores[word], 9), word))
        chosen = [w for w in best if scores[w] >= max(ENOUGH, scores[best[0]] / 2)][:WORDS]
        medoid = " ".join(_words(group[0])[:3] or _every_word(group[0])[1:2]) or "group"
        names.append(_new(" ".join(chosen) or medoid, names))
    return names


def _new(name: str, names: Sequence[str]) -> str:
    """Returns a name that is not there yet: itself, or with a number."""
    number, tried = 1, name
    while tried in names:
        number += 1
        tried = f"{name} {number}"
    return tried


def _words(template: str) -> list[str]:
    return [word for word in _every_word(template) if word not in _STOP]


def _every_word(template: str) -> list[str]:
    return _WORD.findall(template.lower().replace(SLOT, " "))
