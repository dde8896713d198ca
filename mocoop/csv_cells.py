"""Cells of CSV files that no spreadsheet takes for a formula, as OWASP advises."""

from __future__ import annotations

from typing import TypeVar

Cell = TypeVar("Cell")
_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_cell(value: Cell) -> Cell | str:
    """Returns a cell's value; a text that begins like a formula gets an apostrophe before it.

    >>> csv_cell("=1+1.png"), csv_cell("cat.png"), csv_cell(-1.5)
    ("'=1+1.png", 'cat.png', -1.5)
    """
    return f"'{value}" if isinstance(value, str) and _is_formula(value) else value


def from_csv_cell(text: str) -> str:
    """Returns the text that `csv_cell` was given."""
    return text[1:] if text[:1] == "'" and _is_formula(text) else text


def _is_formula(text: str) -> bool:
    """Returns whether a text begins like a formula, also after apostrophes of its own."""
    return text.lstrip("'").startswith(_STARTS)
