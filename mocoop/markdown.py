"""Tables in Markdown, for every page and card that is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_BAR = re.compile(r"(?<!\\)\|")


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[object]], align: str = "") -> str:
    r"""Returns a table as GitHub Markdown, without a line break at its end.

    Args:
        heads: the columns' heads.
        rows: cells in the order of the heads. Their Markdown counts, but no bar or line break
            ends a cell.
        align: a letter per column, `l` for left and `r` for right; all left by default.

    Examples:
        >>> print(markdown_table(("class", "images"), [("a|b", 3)], "lr"))
        | class | images |
        |---|---:|
        | a\|b | 3 |
    """
    marks = {"l": "---|", "r": "---:|"}
    line = "|" + "".join(marks[letter] for letter in align or "l" * len(heads))
    return "\n".join([_row(heads), line, *map(_row, rows)])


def one_line(value: object) -> str:
    """Returns a value as text that cannot end a line or a table's cell."""
    return _BAR.sub(r"\\|", " ".join(str(value).split()))


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(one_line, cells))} |"
