"""Pieces of a page in HTML that needs no other file; every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: .9rem; display: block; overflow-x: auto;
  margin: .8rem 0 1.2rem; }
th, td { border-bottom: 1px solid #8b94a366; padding: .3rem .8rem .3rem 0; text-align: left;
  vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
svg { width: 100%; height: auto; } .note { opacity: .75; font-size: .9rem; }
code { font-size: .9em; }
@media print { body { margin: 0; max-width: none; } svg, tr { break-inside: avoid; } }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """Returns a whole page.

    Args:
        title: of the page, plain text; it is also its heading.
        parts: pieces in HTML.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><main><h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</main></body></html>\n"
    )


def heading(text: str) -> str:
    """Returns the heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, note: bool = False) -> str:
    """Returns a paragraph of plain text; a note is smaller."""
    return f'<p class="note">{escape(text)}</p>' if note else f"<p>{escape(text)}</p>"


def items(texts: Sequence[str]) -> str:
    """Returns a list of plain texts."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """Returns a table of plain texts.

    Args:
        heads: names of the columns; none for a table of names and values.
        rows: the cells.
        numbers: how many of the last columns hold numbers.
    """
    width = len(rows[0]) if rows else len(heads)

    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=number' if place >= width - numbers else ''}>{escape(text)}</{tag}>"
            for place, text in enumerate(row)
        )

    head = f"<thead><tr>{cells(heads, 'th')}</tr></thead>" if heads else ""
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>"
