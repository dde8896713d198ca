"""The figure on Home: one image goes through router, experts and mixture, drawn as an SVG.

All greys are shades of the text colour, so that the figure suits a light and a dark page.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from torch import Tensor

from app.common.theme import NEUTRAL, TRAIN, WRONG, expert_colours
from app.common.words import role_in_words
from mocoop.classifiers.base import Routed

Bars = tuple[tuple[str, float], ...]  # (name, share) pairs, usually the largest share first

WIDTH, HEIGHT, TOP = 1120, 362, 56
MOST_ROWS = 12  # experts that the router's list shows
MOST_CARDS = 3  # chosen experts that are drawn


@dataclass(frozen=True)
class ChosenExpert:
    """One of the experts that the router chose for an image."""

    name: str
    weight: float
    start: str
    """The words that the expert started from."""
    guesses: Bars


@dataclass(frozen=True)
class PipelineView:
    """All numbers that the figure draws for one image."""

    image: bytes = field(repr=False)
    """The image as PNG."""
    label: str
    """The true class."""
    style: str | None
    role: str
    """The part that the true thing plays in a scene; empty for other pictures."""
    colours: dict[str, str]
    router: Bars
    """Softmax of the router's scores; empty with one expert."""
    chosen: tuple[ChosenExpert, ...]
    answer: Bars

    @property
    def right(self) -> bool:
        """Whether the mixture's first guess is the true class."""
        return self.answer[0][0] == self.label


def pipeline_view(
    routed: Routed,
    starts: Mapping[str, str],
    image: bytes,
    label: str,
    style: str | None,
    role: str = "",
) -> PipelineView:
    """Returns the numbers to draw for the first image of `routed`.

    Args:
        routed: the classifier's output for the image.
        starts: expert → the words that it started from.
        image: the image as PNG.
        label: the true class.
        style: the true style, if it is known.
        role: the part that the true thing plays in a scene; empty for other pictures.
    """
    names, experts = routed.class_names, routed.experts
    # In the order of the router's list, so that the flows between the columns do not cross.
    picked = sorted(routed.chosen(0)[:MOST_CARDS], key=lambda pair: experts.index(pair[0]))
    chosen = tuple(
        ChosenExpert(
            name,
            weight,
            starts[name],
            _largest(names, routed.expert_probabilities[0, experts.index(name)], 3),
        )
        for name, weight in picked
    )
    shares = routed.scores[0].softmax(dim=-1).tolist()
    router = tuple(zip(experts, shares, strict=True)) if len(experts) > 1 else ()
    if len(router) > MOST_ROWS:
        router = tuple(sorted(router, key=lambda pair: -pair[1])[:MOST_ROWS])
    answer = _largest(names, routed.probabilities[0], 5)
    colours = expert_colours(experts)
    return PipelineView(image, label, style, role, colours, router, chosen, answer)


def pipeline_svg(view: PipelineView) -> str:
    """Returns the figure as an SVG element that uses the page's font and text colour."""
    cards = view.chosen
    boxes = _card_boxes(len(cards))
    parts = [
        *_links(view, boxes),
        *_image(view),
        *(_router(view) if view.router else ()),
        *(line for card, box in zip(cards, boxes, strict=True) for line in _card(view, card, box)),
        *_answer(view),
    ]
    best, share = view.answer[0]
    alt = (
        f"{view.label}: {', '.join(f'{c.name} {c.weight:.0%}' for c in cards)}; {best} {share:.0%}"
    )
    return (
        '<div style="overflow-x:auto;padding-bottom:1rem">'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(alt)}" style="width:100%;min-width:760px;display:block;'
        'font-family:inherit;font-size:13px" fill="currentColor">'
        + "".join(parts)
        + "</svg></div>"
    )  # fmt: skip


_IMAGE = (0, 168)  # left edge and width of each column
_ROUTER = (252, 232)
_CARDS = (574, 250)
_ANSWER = (904, 216)


def _image(view: PipelineView) -> list[str]:
    x, width = _IMAGE
    data = base64.b64encode(view.image).decode()
    drawn = f"drawn as: {view.style}" if view.style else ""
    counts = f"what counts: {role_in_words(view.role)}" if view.role else ""
    return [
        *_heading(x, "1", "Image"),
        f'<image href="data:image/png;base64,{data}" x="{x}" y="{TOP}" width="{width}" '
        f'height="{width}" style="clip-path:inset(0 round 10px)"/>',
        f'<rect x="{x + 0.5}" y="{TOP + 0.5}" width="{width - 1}" height="{width - 1}" rx="10" '
        'fill="none" stroke="currentColor" stroke-opacity=".25"/>',
        _text(x, TOP + width + 24, view.label, weight=600),
        _text(x, TOP + width + 43, drawn, faint=True, most=30),
        _text(x, TOP + width + 62, counts, faint=True, most=36),
    ]


def _router(view: PipelineView) -> list[str]:
    x, width = _ROUTER
    bars_from, full = x + 112, width - 112
    chosen = {expert.name for expert in view.chosen}
    largest = max(share for _, share in view.router)
    parts = _heading(x, "2", "Router")
    for index, (name, share) in enumerate(view.router):
        y = _row_middle(index, len(view.router))
        picked = name in chosen
        colour = view.colours[name] if picked else NEUTRAL
        parts += [
            _text(bars_from - 8, y + 4, name, anchor="end", weight=600 if picked else 400,
                  faint=not picked),
            f'<rect x="{bars_from}" y="{y - 6}" width="{max(1.5, full * share / largest):.1f}" '
            f'height="12" rx="3" fill="{colour}" fill-opacity="{1 if picked else 0.45}"/>',
        ]  # fmt: skip
    return parts


def _card(view: PipelineView, expert: ChosenExpert, box: tuple[float, float]) -> list[str]:
    x, width = _CARDS
    y, height = box
    colour = view.colours[expert.name]
    parts = [
        f'<rect x="{x + 0.5}" y="{y}" width="{width - 1}" height="{height}" rx="10" '
        'fill-opacity=".05" stroke="currentColor" stroke-opacity=".15"/>',
        f'<rect x="{x}" y="{y + 10}" width="5" height="{height - 20}" rx="2.5" fill="{colour}"/>',
        _text(x + 18, y + 23, expert.name, weight=600),
        _text(x + 18, y + 42, expert.start, faint=True, most=40),
    ]
    if view.router:
        weight = f"weight {expert.weight:.0%}"
        parts.append(_text(x + width - 14, y + 23, weight, anchor="end", weight=600))
    rows = expert.guesses[: int((height - 50) // 21)]
    return parts + _bars(rows, x + 18, y + 60, width - 32, colour)


def _answer(view: PipelineView) -> list[str]:
    x, width = _ANSWER
    verdict, colour = ("right", TRAIN) if view.right else (f"true: {view.label}", WRONG)
    mark = "✓" if view.right else "✗"
    headings = (("3", "Experts"), ("4", "Mixed answer"))
    if not view.router:
        headings = (("2", "Classifier"), ("3", "Answer"))
    return [
        *_heading(_CARDS[0], *headings[0]),
        *_heading(x, *headings[1]),
        *_bars(view.answer, x, TOP + 62, width, colour),
        f'<text x="{x}" y="{TOP + 36}" font-size="17" font-weight="600">'
        f"{escape(_short(view.answer[0][0], 24))}</text>",
        f'<text x="{x}" y="{TOP + 68 + 5 * 25}" font-weight="600" fill="{colour}">'
        f"{mark} {escape(_short(verdict, 28))}</text>",
    ]


def _links(view: PipelineView, boxes: Sequence[tuple[float, float]]) -> list[str]:
    """Returns the flows between the columns; their width grows with the expert's weight."""
    middle = TOP + _IMAGE[1] / 2
    left = sum(_IMAGE) + 8
    if not view.router:
        parts = [_flow(left, middle, _CARDS[0] - 8, _centre(boxes[0]), NEUTRAL, 12)]
    else:
        parts = [_flow(left, middle, _ROUTER[0] - 6, middle, NEUTRAL, 12)]
    rows = {name: index for index, (name, _) in enumerate(view.router)}
    for expert, box in zip(view.chosen, boxes, strict=False):
        colour, width = view.colours[expert.name], 3 + 15 * expert.weight
        if expert.name in rows:
            y = _row_middle(rows[expert.name], len(view.router))
            parts.append(_flow(sum(_ROUTER) + 8, y, _CARDS[0] - 4, _centre(box), colour, width))
        end = TOP + 110
        parts.append(_flow(sum(_CARDS) + 4, _centre(box), _ANSWER[0] - 12, end, colour, width))
    return parts


def _flow(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    bend = (x2 - x1) / 2
    return (
        f'<path d="M{x1} {y1:.1f} C{x1 + bend} {y1:.1f} {x2 - bend} {y2:.1f} {x2} {y2:.1f}" '
        f'fill="none" stroke="{colour}" stroke-opacity=".4" stroke-width="{width:.1f}"/>'
    )


def _heading(x: float, number: str, text: str) -> list[str]:
    return [
        f'<circle cx="{x + 12}" cy="24" r="12" fill-opacity=".1"/>',
        _text(x + 12, 28.5, number, anchor="middle", weight=600),
        f'<text x="{x + 32}" y="29" font-size="15" font-weight="600">{escape(text)}</text>',
    ]


def _bars(bars: Bars, x: float, y: float, width: float, colour: str) -> list[str]:
    """Returns rows of name, bar and percentage; only the first bar has the colour."""
    parts, step = [], 25 if width < 217 else 21
    bar_x, full = x + 0.48 * width, 0.34 * width
    for index, (name, share) in enumerate(bars):
        middle = y + index * step
        fill = colour if index == 0 else NEUTRAL
        parts += [
            _text(x, middle + 4, name, faint=index > 0, most=15),
            f'<rect x="{bar_x:.1f}" y="{middle - 5}" width="{max(1.5, full * share):.1f}" '
            f'height="10" rx="3" fill="{fill}"/>',
            _text(x + width, middle + 4, f"{share:.0%}", anchor="end", faint=index > 0),
        ]
    return parts


def _text(
    x: float,
    y: float,
    text: str,
    anchor: str = "start",
    weight: int = 400,
    faint: bool = False,
    most: int = 22,
) -> str:
    opacity = ' fill-opacity=".68"' if faint else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"{opacity}>'
        f"{escape(_short(text, most))}</text>"
    )


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _row_middle(index: int, count: int) -> float:
    step = min(26.0, (HEIGHT - TOP - 16) / count)
    return TOP + step * (index + 0.5)


def _card_boxes(count: int) -> list[tuple[float, float]]:
    """Returns the top edge and the height of each card; a single card is as high as one of two."""
    gap = 14.0
    height = (HEIGHT - TOP - 16 - gap * (max(count, 2) - 1)) / max(count, 2)
    return [(TOP + index * (height + gap), height) for index in range(count)]


def _centre(box: tuple[float, float]) -> float:
    return box[0] + box[1] / 2


def _largest(names: Sequence[str], probabilities: Tensor, count: int) -> Bars:
    """Returns the most probable classes, largest first."""
    best = probabilities.topk(min(count, len(names)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return tuple((names[index], value) for index, value in pairs)
