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
    return f"'{value}" if isinstance(value, str) and value.startswith(_STARTS) else value


def from_csv_cell(text: str) -> str:
    """Returns the text that `csv_cell` was given."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(_STARTS) else text
