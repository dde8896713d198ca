"""Small pieces of HTML: coloured chips for experts, and predictions marked right or wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from app.common.theme import TRAIN, WRONG
from app.ui import words

_EDGE = "box-shadow:0 0 0 1px rgba(139,148,163,.6)"  # makes dark colours visible on a dark page
_BAR = f"height:6px;border-radius:3px;overflow:hidden;display:flex;margin:3px 0 5px;{_EDGE}"
_DOT = f"display:inline-block;width:.65em;height:.65em;border-radius:50%;margin-right:.3em;{_EDGE}"
_TRACK = f"height:5px;border-radius:3px;overflow:hidden;margin:1px 0 4px;{_EDGE}"
_LINE = "font-size:.8rem;line-height:1.35;overflow-wrap:anywhere"


def expert_chips(pairs: Sequence[tuple[str, float]], colours: Mapping[str, str]) -> str:
    """Returns a bar divided by weight, with each expert's name and weight below it."""
    parts = "".join(
        f'<span style="width:{100 * weight:.1f}%;background:{colours[name]}"></span>'
        for name, weight in pairs
    )
    return f'<div style="{_BAR}">{parts}</div>{expert_names(pairs, colours)}'


def expert_names(pairs: Sequence[tuple[str, float]], colours: Mapping[str, str]) -> str:
    """Returns a line of experts, each with its colour, its name and a share."""
    names = "".join(
        f'<span style="margin-right:.6em;white-space:nowrap">'
        f'<span style="{_DOT};background:{colours[name]}"></span>'
        f"{escape(name)} {share:.0%}</span>"
        for name, share in pairs
    )
    return f'<div style="{_LINE}">{names}</div>'


def verdict(predicted: str, probability: float, true: str | None) -> str:
    """Returns the prediction; if the true class is known, it is marked right or wrong."""
    prediction = f"<b>{escape(predicted)}</b> {probability:.0%}"
    if true is None:
        return f'<div style="{_LINE}">{prediction}</div>'
    if predicted == true:
        return f'<div style="{_LINE}"><span style="color:{TRAIN}">✓</span> {prediction}</div>'
    mark = f'<span style="color:{WRONG}">✗</span>'
    truth = f'<br><span style="opacity:.75">{escape(words.truth(true))}</span>'
    return f'<div style="{_LINE}">{mark} {prediction}{truth}</div>'


def class_bars(
    pairs: Sequence[tuple[str, float]], true: str | None = None, colour: str = TRAIN
) -> str:
    """Returns a line per class: its name, a bar and its probability; the true class is bold.

    Args:
        pairs: class names and probabilities, 0 to 1, most probable first.
        true: the true class, if it is known.
        colour: of the bars.
    """
    lines = []
    for name, probability in pairs:
        label = f"<b>{escape(name)}</b>" if name == true else escape(name)
        lines.append(
            f'<div style="{_LINE};display:flex;justify-content:space-between;gap:.5em">'
            f"<span>{label}</span><span>{probability:.0%}</span></div>"
            f'<div style="{_TRACK}"><div style="width:{100 * probability:.1f}%;height:100%;'
            f'background:{colour}"></div></div>'
        )
    return "".join(lines)


def right_or_wrong(name: str, predicted: str, probability: float, right: bool) -> str:
    """Returns a line: ✓ or ✗, the method's name, its prediction and its probability."""
    mark, hue = ("✓", TRAIN) if right else ("✗", WRONG)
    return (
        f'<div style="{_LINE}"><span style="color:{hue}">{mark}</span> '
        f'<span style="opacity:.75">{escape(name)}:</span> <b>{escape(predicted)}</b> '
        f"{probability:.0%}</div>"
    )


def small_title(title: str, note: str, colour: str) -> str:
    """Returns a title with a bar in a colour at its left, and a smaller line below it."""
    below = f'<div style="{_LINE};opacity:.75">{escape(note)}</div>' if note else ""
    return (
        f'<div style="border-left:4px solid {colour};padding-left:.5em;margin-bottom:.4em">'
        f'<div style="font-weight:600;overflow-wrap:anywhere">{escape(title)}</div>{below}</div>'
    )


def quiet(text: str) -> str:
    """Returns a small, faint line of text."""
    return f'<div style="{_LINE};opacity:.75;margin-top:.4em">{escape(text)}</div>'
