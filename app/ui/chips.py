"""Small pieces of HTML: coloured chips for experts, and predictions marked right or wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from app.common.theme import TRAIN, WRONG

_EDGE = "box-shadow:0 0 0 1px rgba(139,148,163,.6)"  # makes dark colours visible on a dark page
_BAR = f"height:6px;border-radius:3px;overflow:hidden;display:flex;margin:3px 0 5px;{_EDGE}"
_DOT = f"display:inline-block;width:.65em;height:.65em;border-radius:50%;margin-right:.3em;{_EDGE}"
_LINE = "font-size:.8rem;line-height:1.35;overflow-wrap:anywhere"


def expert_chips(pairs: Sequence[tuple[str, float]], colours: Mapping[str, str]) -> str:
    """Returns a bar divided by weight, with each expert's name and weight below it."""
    parts = "".join(
        f'<span style="width:{100 * weight:.1f}%;background:{colours[name]}"></span>'
        for name, weight in pairs
    )
    names = "".join(
        f'<span style="margin-right:.6em;white-space:nowrap">'
        f'<span style="{_DOT};background:{colours[name]}"></span>'
        f"{escape(name)} {weight:.0%}</span>"
        for name, weight in pairs
    )
    return f'<div style="{_BAR}">{parts}</div><div style="{_LINE}">{names}</div>'


def verdict(predicted: str, probability: float, true: str | None) -> str:
    """Returns the prediction; if the true class is known, it is marked right or wrong."""
    prediction = f"<b>{escape(predicted)}</b> {probability:.0%}"
    if true is None:
        return f'<div style="{_LINE}">{prediction}</div>'
    if predicted == true:
        return f'<div style="{_LINE}"><span style="color:{TRAIN}">✓</span> {prediction}</div>'
    mark = f'<span style="color:{WRONG}">✗</span>'
    truth = f'<br><span style="opacity:.75">truth: {escape(true)}</span>'
    return f'<div style="{_LINE}">{mark} {prediction}{truth}</div>'
