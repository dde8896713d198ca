"""Pieces of the figure on Home as lines of SVG: text, bars, titles and flows."""

from __future__ import annotations

from html import escape

from app.common.theme import NEUTRAL

Bars = tuple[tuple[str, float], ...]  # (name, share) pairs, usually the largest share first


def flow(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    """Returns a curved band from one point to another."""
    bend = (x2 - x1) / 2
    return (
        f'<path d="M{x1} {y1:.1f} C{x1 + bend} {y1:.1f} {x2 - bend} {y2:.1f} {x2} {y2:.1f}" '
        f'fill="none" stroke="{colour}" stroke-opacity=".4" stroke-width="{width:.1f}"/>'
    )


def heading(x: float, number: str, title: str) -> list[str]:
    """Returns a column's title with its number in a circle."""
    return [
        f'<circle cx="{x + 12}" cy="24" r="12" fill-opacity=".1"/>',
        text(x + 12, 28.5, number, anchor="middle", weight=600),
        f'<text x="{x + 32}" y="29" font-size="15" font-weight="600">{escape(title)}</text>',
    ]


def bars(shares: Bars, x: float, y: float, width: float, colour: str, step: int) -> list[str]:
    """Returns rows of name, bar and percentage; only the first bar has the colour."""
    parts = []
    bar_x, full = x + 0.48 * width, 0.34 * width
    for index, (name, share) in enumerate(shares):
        middle = y + index * step
        fill = colour if index == 0 else NEUTRAL
        parts += [
            text(x, middle + 4, name, faint=index > 0, most=15),
            f'<rect x="{bar_x:.1f}" y="{middle - 5}" width="{max(1.5, full * share):.1f}" '
            f'height="10" rx="3" fill="{fill}"/>',
            text(x + width, middle + 4, f"{share:.0%}", anchor="end", faint=index > 0),
        ]
    return parts


def text(
    x: float,
    y: float,
    words: str,
    anchor: str = "start",
    weight: int = 400,
    faint: bool = False,
    most: int = 22,
) -> str:
    """Returns a line of text, cut after `most` letters."""
    opacity = ' fill-opacity=".68"' if faint else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"{opacity}>'
        f"{escape(short(words, most))}</text>"
    )


def short(words: str, most: int) -> str:
    """Returns a text, cut after `most` letters."""
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"
