"""What a run's search of lengths chose, as its results hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEY = "search"
"""In a run's results: for each tower with a search its choice, as `ChosenLengths` has it."""
_TOWERS = {"vision": "image tower", "text": "text tower"}


def lengths_in_words(results: Mapping[str, Any]) -> str:
    """Returns the chosen numbers of tokens with their margins; empty without a search.

    >>> found = {"tower": "text", "lengths": [0, 3], "margins": [0.5, 0.25]}
    >>> lengths_in_words({"search": [found]})
    'Learned tokens per block, as the search chose: text tower 0, 3 (ahead by 0.25 to 0.50).'
    """
    parts = []
    for found in results.get(KEY, ()):
        numbers, margins = ", ".join(map(str, found["lengths"])), found["margins"]
        ahead = f"ahead by {min(margins):.2f} to {max(margins):.2f}"
        parts.append(f"{_TOWERS[found['tower']]} {numbers} ({ahead})")
    return f"Learned tokens per block, as the search chose: {'; '.join(parts)}." if parts else ""
