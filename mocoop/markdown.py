"""Tables and names in Markdown, for all written pages and model cards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SIGNS = re.compile(r"([\\`*_{}\[\]()<>#|~$!&])")
_BAR = re.compile(r"(?<!\\)\|")


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[object]], align: str = "") -> str:
    r"""Returns a table in GitHub Markdown, without a line break at its end.

    Args:
        heads: the headings of the columns.
        rows: cells in the order of the columns. They may contain Markdown; bars and line breaks
            are escaped, so that they do not end a cell.
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
    """Returns a value as text on one line, with bars escaped for use in a table cell."""
    return _BAR.sub(r"\\|", " ".join(str(value).split()))


def literal(value: object) -> str:
    r"""Returns Markdown that shows a text as it is: on one line, no HTML, picture or link.

    Names of classes, runs and groups come from outside: every card and page puts them in by this.

    >>> literal("a_b ![i](http://x.org)")
    'a\\_b \\!\\[i\\]\\(http&#58;//x.org\\)'
    """
    text = _SIGNS.sub(r"\\\1", " ".join(str(value).split()))
    return text.replace("://", "&#58;//").replace("www.", "www&#46;")


def code(value: object) -> str:
    """Returns a text as inline code on one line; its backticks become apostrophes.

    >>> code("a`b")
    "`a'b`"
    """
    return f"`{one_line(value).replace('`', chr(39)) or ' '}`"


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(one_line, cells))} |"
