"""Prompts that begin with the same tokens, as trees in which each shared token stands once.

A token of a text tower sees the tokens before it alone. So the states of equal beginnings are
equal, and one copy serves all prompts: the result is exact, forward and backward. Names such as
“2012 BMW M3 Coupe” and “2012 BMW X3 SUV” share half of their tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_SAVED = 0.1
"""Share of the tokens that trees must save. With less, every prompt keeps tokens of its own, and
tiles are as narrow as the longest name."""


@dataclass(frozen=True)
class Tree:
    """The own tokens of some prompts of one expert, parents before children."""

    pairs: tuple[int, ...]
    """The (expert, class) pairs."""
    tokens: np.ndarray  # (tokens,), rows of the table of embeddings
    depths: np.ndarray  # (tokens,), the number of tokens above each
    ends: tuple[int, ...]
    """The token at which each pair is read; no two pairs have the same."""
    parents: np.ndarray  # (tokens,), the token above each; -1 at the root

    def seen(self) -> np.ndarray:
        """Returns which tokens (tokens, tokens), bool, a token sees: itself and those above it."""
        seen = np.eye(len(self.tokens), dtype=bool)
        for token, parent in enumerate(self.parents):
            if parent >= 0:
                seen[token] |= seen[parent]
        return seen


def chain(pairs: tuple[int, ...], tokens: np.ndarray) -> Tree:
    """Returns a tree without branches, read at its end."""
    order = np.arange(len(tokens))
    return Tree(pairs, tokens, order, (len(tokens) - 1,) * len(pairs), order - 1)


def trees_of(
    own: Sequence[np.ndarray], num_classes: int, same: np.ndarray | None, most: int
) -> list[Tree]:
    """Returns the own tokens of all prompts, by expert, as trees if that saves enough.

    Args:
        own: each pair's tokens from the class name on, as rows of the table of embeddings; by
            expert, then class.
        num_classes: the number of classes.
        same: a number for each row of the table, equal for equal tokens; None for no sharing.
        most: the largest number of tokens of a tree with several prompts.
    """
    apart = [chain((pair,), tokens) for pair, tokens in enumerate(own)]
    if same is None or num_classes < 2:
        return apart
    trees = []
    for first in range(0, len(own), num_classes):
        keys = [tuple(same[tokens].tolist()) for tokens in own[first : first + num_classes]]
        order = sorted(range(num_classes), key=keys.__getitem__)
        for group in _groups([keys[label] for label in order], most):
            labels = [order[place] for place in group]
            trees.append(_tree([first + label for label in labels], own, same))
    total, shared = (sum(len(tree.tokens) for tree in found) for found in (apart, trees))
    return trees if shared <= (1 - LEAST_SAVED) * total else apart


def _groups(keys: Sequence[tuple[int, ...]], most: int) -> list[range]:
    """Returns which sorted prompts form a tree: as many neighbours as fit that share a token."""
    groups, start, size = [], 0, 0
    for place, key in enumerate(keys):
        added = len(key) - (_common(keys[place - 1], key) if place > start else 0)
        if place > start and (added == len(key) or size + added > most):
            groups.append(range(start, place))
            start, size, added = place, 0, len(key)
        size += added
    return [*groups, range(start, len(keys))]


def _tree(pairs: Sequence[int], own: Sequence[np.ndarray], same: np.ndarray) -> Tree:
    """Returns the tree of prompts whose tokens are in sorted order."""
    tokens: list[int] = []
    depths: list[int] = []
    parents: list[int] = []
    ends: list[int] = []
    path: list[int] = []  # the tokens of the prompt before, as indices in the tree
    before: tuple[int, ...] = ()
    for pair in pairs:
        key = tuple(same[own[pair]].tolist())
        path = path[: _common(before, key)]
        for row in own[pair][len(path) :].tolist():
            parents.append(path[-1] if path else -1)
            depths.append(len(path))
            path.append(len(tokens))
            tokens.append(row)
        ends.append(path[-1])
        before = key
    return Tree(tuple(pairs), np.array(tokens), np.array(depths), tuple(ends), np.array(parents))


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Returns how many first tokens are equal; the last token of a prompt is always its own.

    >>> _common((5, 6, 1), (5, 6, 7, 1)), _common((5, 6), (5, 6))
    (2, 1)
    """
    most = max(0, min(len(one), len(other)) - 1)
    return next((place for place in range(most) if one[place] != other[place]), most)
