"""Tables in Markdown, whatever their cells hold."""

from __future__ import annotations

import doctest

import pytest

from mocoop import markdown
from mocoop.markdown import markdown_table, one_line


def test_examples():
    assert doctest.testmod(markdown) == (0, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [("a|b", r"a\|b"), (r"a\|b", r"a\|b"), ("a\n|\tb", r"a \| b"), (3, "3"), ("", "")],
)
def test_no_bar_or_line_break_ends_a_cell(value, text):
    assert one_line(value) == text


def test_alignment():
    table = markdown_table(("a", "b", "c"), [("x", 1, None)], "lrl")
    assert table.splitlines() == ["| a | b | c |", "|---|---:|---|", "| x | 1 | None |"]
    assert markdown_table(("a",), []) == "| a |\n|---|"
