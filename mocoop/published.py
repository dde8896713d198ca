"""The published recipes beside ours: the lines of the tables in the documents and in the app.

Published values stand in `mocoop.published_settings`. Ours are read from the presets, so that no
line can stay behind them; only what is no setting has its words there on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mocoop.config import TrainConfig
from mocoop.method_record import Method, Paper
from mocoop.presets import preset
from mocoop.published_record import SAME, Published
from mocoop.published_settings import PUBLISHED

ANOTHER = "another CLIP"  # stands for any CLIP but the built-in one, whose recipes are its own


@dataclass(frozen=True)
class Line:
    """A line of a table: a setting as published, and as ours."""

    setting: str
    published: str
    ours: str
    """`SAME`, or what is different."""
    source: str


def compared(method: Method) -> list[Line]:
    """Returns the published recipe of a method beside ours for other CLIPs than the built-in one.

    Methods without a recipe, such as zero-shot, have no lines.
    """
    if not method.published.settings or method.paper is None:
        return []
    config = preset(method.key, ANOTHER)
    return [
        Line(_code(row.setting), _published(row), _ours(row, config), row.source or "its code")
        for row in PUBLISHED[method.paper]
        if method.learns_in_epochs or not row.in_epochs
    ]


def families(methods: Iterable[Method]) -> list[tuple[Method, Sequence[Method]]]:
    """Returns the methods with a published recipe by paper: the first one, and all of them."""
    found: dict[Paper, list[Method]] = {}
    for method in methods:
        if method.published.settings and method.paper is not None:
            found.setdefault(method.paper, []).append(method)
    return [(own[0], own) for own in found.values()]


def _published(row: Published) -> str:
    """Returns the published value in words."""
    return f"{_words(row.value)} ({row.except_on})" if row.except_on else _words(row.value)


def _ours(row: Published, config: TrainConfig) -> str:
    """Returns what ours does in words."""
    if row.ours:
        return row.ours
    value = getattr(config, row.setting)
    if row.except_on:
        return f"{_words(value)} everywhere"
    return SAME if value == row.value else _words(value)


def _code(setting: str) -> str:
    """Returns a setting as code, or the words as they are."""
    return f"`{setting}`" if hasattr(TrainConfig, setting) else setting


def _words(value: Any) -> str:
    """Returns a value as it is written in a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
