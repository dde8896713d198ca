"""The key beside the map as HTML: what the marks and the colours mean."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from app.common.theme import EXPERT_COLOURS
from app.prompt_space import words

LONGEST = 24  # lines of colours
PICTURE_SIDE = 72  # pixels, of which half are shown, so that it is sharp on fine screens
_LINE = "display:flex;align-items:center;gap:.5em;font-size:.85rem;line-height:1.3;margin:.15em 0"
_MARK = "flex:none;width:1.2em;text-align:center"
_EDGE = "box-shadow:0 0 0 1px rgba(139,148,163,.6)"
_SWATCH = f"flex:none;width:.85em;height:.85em;border-radius:50%;{_EDGE}"


def marks(flat: bool, typed: bool) -> str:
    """Returns a line per kind of mark; one for typed prompts only if there is one."""
    pairs = [("○", words.HARD), ("◆", words.PROTOTYPE)]
    pairs += [("★" if flat else "✚", words.SOFT), ("—", words.LINE)]
    pairs += [("✖", words.TYPED)] if typed else []
    return "".join(
        f'<div style="{_LINE}"><span style="{_MARK}">{mark}</span>'
        f"<span>{escape(text)}</span></div>"
        for mark, text in pairs
    )


def colour_lines(
    names: Sequence[str],
    colours: Mapping[str, str],
    pictures: Mapping[str, bytes] | None = None,
    found: str = "",
) -> str:
    """Returns a line per colour: a dot, a small picture if there is one, and the name.

    Args:
        names: groups or classes, in order; at most `LONGEST` are listed.
        colours: name → colour.
        pictures: name → PNG.
        found: the name that is bold.
    """
    pictures = pictures or {}
    lines = []
    for name in names[:LONGEST]:
        text = f"<b>{escape(name)}</b>" if name == found else escape(name)
        image = picture(pictures[name], name, PICTURE_SIDE // 2) if name in pictures else ""
        lines.append(
            f'<div style="{_LINE}"><span style="{_SWATCH};background:{colours[name]}"></span>'
            f'{image}<span style="overflow-wrap:anywhere">{text}</span></div>'
        )
    rest = words.more_colours(min(len(names), LONGEST), len(names), len(EXPERT_COLOURS))
    if rest:
        lines.append(f'<div style="{_LINE};opacity:.75">{rest}</div>')
    return "".join(lines)


def picture(png: bytes, name: str, side: int) -> str:
    """Returns a picture as HTML that needs no other file."""
    data = base64.b64encode(png).decode()
    return (
        f'<img src="data:image/png;base64,{data}" alt="{escape(name)}" '
        f'style="flex:none;width:{side}px;border-radius:3px;{_EDGE}">'
    )
