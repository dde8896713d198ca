"""Figures as SVG: bars with intervals, and curves. Text has the colour of the page around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
_ROW, _LABEL, _NUMBER, _FOOT = 26, 250, 150, 24
_LEFT, _RIGHT, _TOP, _LEGEND = 52, 16, 14, 20
_LONGEST, _END = 30, 12  # characters of a label, and how many of them are its end
GREY = "#8b94a3"


@dataclass(frozen=True)
class Bar:
    """A bar with its interval, in percent."""

    label: str
    value: float
    colour: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """A curve; a missing value leaves a gap."""

    label: str
    points: tuple[tuple[float, float | None], ...]
    colour: str
    dash: str = ""
    """Lengths of dashes and gaps, as in SVG; empty for a solid line."""


def bars(rows: Sequence[Bar], alt: str) -> str:
    """Returns horizontal bars from 0 to 100 %, with their numbers and intervals.

    Args:
        rows: the bars, from above.
        alt: what the figure shows, for screen readers.
    """
    height = _ROW * len(rows) + _FOOT
    span = WIDTH - _LABEL - _NUMBER

    def place(percent: float) -> float:
        return round(_LABEL + span * min(100.0, max(0.0, percent)) / 100, 1)

    parts = []
    for tick in (0, 25, 50, 75, 100):
        parts.append(_stroke(place(tick), 0, place(tick), height - _FOOT + 4, GREY, 0.35))
        parts.append(_text(place(tick), height - 6, f"{tick} %", "middle", 11))
    for number, row in enumerate(rows):
        top = number * _ROW
        middle = top + _ROW / 2
        parts.append(_text(_LABEL - 8, middle + 4, _short(row.label), "end", title=row.label))
        width = round(place(row.value) - _LABEL, 1)
        parts.append(
            f'<rect x="{_LABEL}" y="{top + 5}" width="{width}" height="{_ROW - 10}" '
            f'fill="{escape(row.colour)}"/>'
        )
        shown = f"{row.value:.1f} %"
        if row.low is not None and row.high is not None:
            ends = place(row.low), place(row.high)
            parts.append(_stroke(ends[0], middle, ends[1], middle, "currentColor", 1, 1.5))
            parts += [_stroke(x, middle - 4, x, middle + 4, "currentColor", 1, 1.5) for x in ends]
            shown += f"  [{row.low:.1f}, {row.high:.1f}]"
        parts.append(_text(WIDTH - _NUMBER + 10, middle + 4, shown, "start"))
    return _svg(height, alt, parts)


def curves(lines: Sequence[Line], alt: str, unit: str = "", across: str = "epoch") -> str:
    """Returns curves with a legend below them; an empty text if no curve has two points.

    Args:
        lines: the curves.
        alt: what the figure shows, for screen readers.
        unit: written behind the numbers of the upright axis.
        across: what the other axis counts.
    """
    shown = [line for line in lines if sum(y is not None for _, y in line.points) > 1]
    if not shown:
        return ""
    xs = [x for line in shown for x, y in line.points if y is not None]
    ys = [y for line in shown for _, y in line.points if y is not None]
    ticks = _ticks(min(ys), max(ys))
    low, high = ticks[0], ticks[-1]
    plot = 220
    height = _TOP + plot + 34 + _LEGEND * len(shown)

    def right(x: float) -> float:
        share = (x - min(xs)) / ((max(xs) - min(xs)) or 1)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def down(y: float) -> float:
        return round(_TOP + plot * (1 - (y - low) / (high - low)), 1)

    parts = []
    for tick in ticks:
        parts.append(_stroke(_LEFT, down(tick), WIDTH - _RIGHT, down(tick), GREY, 0.35))
        parts.append(_text(_LEFT - 6, down(tick) + 4, f"{tick:g}{unit}", "end", 11))
    for x in dict.fromkeys((min(xs), (min(xs) + max(xs)) // 2, max(xs))):
        parts.append(_text(right(x), _TOP + plot + 16, f"{x:g}", "middle", 11))
    parts.append(_text(WIDTH - _RIGHT, _TOP + plot + 30, across, "end", 11))
    for number, line in enumerate(shown):
        colour, dash = escape(line.colour), escape(line.dash)
        for part in _unbroken(line.points):
            path = " ".join(f"{right(x)},{down(y)}" for x, y in part)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" '
                f'stroke-dasharray="{dash}"/>'
            )
        y = _TOP + plot + 40 + _LEGEND * number
        parts.append(
            f'<line x1="{_LEFT}" y1="{y}" x2="{_LEFT + 30}" y2="{y}" stroke="{colour}" '
            f'stroke-width="3" stroke-dasharray="{dash}"/>'
        )
        parts.append(_text(_LEFT + 38, y + 4, line.label, "start"))
    return _svg(height, alt, parts)


def _unbroken(
    points: Sequence[tuple[float, float | None]],
) -> list[list[tuple[float, float]]]:
    """Returns the pieces of a curve between its gaps."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None or not math.isfinite(y):
            pieces.append([])
        else:
            pieces[-1].append((x, y))
    return [piece for piece in pieces if piece]


def _ticks(low: float, high: float) -> list[float]:
    """Returns four to eight round numbers around a range."""
    rough = (high - low) / 5 or abs(high) / 5 or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(f for f in (1, 2, 5, 10) if f * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(step * number, 10) for number in range(first, max(last, first + 1) + 1)]


def _stroke(
    x1: float, y1: float, x2: float, y2: float, colour: str, opacity: float, width: float = 1.0
) -> str:
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" '
        f'stroke-opacity="{opacity}" stroke-width="{width}"/>'
    )


def _text(
    x: float, y: float, text: str, anchor: str, size: int = 13, title: str | None = None
) -> str:
    whole = f"<title>{escape(title)}</title>" if title is not None and title != text else ""
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="currentColor">'
        f"{escape(text)}{whole}</text>"
    )


def _short(text: str) -> str:
    """Returns a label without its middle if it is long: runs differ at the start and the end."""
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - _END - 1]}…{text[-_END:]}"


def _svg(height: float, alt: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'aria-label="{escape(alt)}" font-family="system-ui, sans-serif">{"".join(parts)}</svg>'
    )
