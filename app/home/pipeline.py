"""The figure on Home: one image goes through router, experts and mixture, drawn as an SVG.

All greys are shades of the text colour, so that the figure suits a light and a dark page.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from app.common.theme import NEUTRAL, TRAIN, WRONG, expert_colours
from app.home import words
from app.home.svg import Bars, bars, flow, heading, short, text

if TYPE_CHECKING:  # Home is shown without torch
    from torch import Tensor

    from mocoop.classifiers.base import Routed

WIDTH, HEIGHT, TOP = 1120, 322, 56
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


def pipeline_svg(view: PipelineView, with_image: bool = True) -> str:
    """Returns the figure as an SVG element that uses the page's font and text colour.

    Args:
        view: what to draw.
        with_image: whether its first column is the image; False if the page shows it elsewhere.
    """
    cards, places = view.chosen, _WITH_IMAGE if with_image else _WITHOUT
    boxes = _card_boxes(len(cards))
    parts = [
        *_links(view, boxes, places),
        *(_image(view, places.image) if places.image else ()),
        *(_router(view, places.router) if view.router else ()),
        *(
            line
            for card, box in zip(cards, boxes, strict=True)
            for line in _card(view, card, places.cards, box)
        ),
        *_answer(view, places.answer),
        *_headings(view, places),
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


Place = tuple[int, int]


@dataclass(frozen=True)
class _Places:
    """Left edge and width of each column."""

    image: Place | None
    router: Place
    cards: Place
    answer: Place


_WITH_IMAGE = _Places((0, 168), (252, 232), (574, 250), (904, 216))
_WITHOUT = _Places(None, (0, 300), (404, 320), (848, 272))


def _image(view: PipelineView, place: Place) -> list[str]:
    x, width = place
    data = base64.b64encode(view.image).decode()
    return [
        f'<image href="data:image/png;base64,{data}" x="{x}" y="{TOP}" width="{width}" '
        f'height="{width}" style="clip-path:inset(0 round 10px)"/>',
        f'<rect x="{x + 0.5}" y="{TOP + 0.5}" width="{width - 1}" height="{width - 1}" rx="10" '
        'fill="none" stroke="currentColor" stroke-opacity=".25"/>',
        text(x, TOP + width + 24, view.label, weight=600),
        text(x, TOP + width + 43, words.drawn_as(view.style), faint=True, most=30),
        text(x, TOP + width + 62, words.what_counts(view.role), faint=True, most=36),
    ]


def _router(view: PipelineView, place: Place) -> list[str]:
    x, width = place
    bars_from, full = x + 112, width - 112
    chosen = {expert.name for expert in view.chosen}
    largest = max(share for _, share in view.router)
    parts = []
    for index, (name, share) in enumerate(view.router):
        y = _row_middle(index, len(view.router))
        picked = name in chosen
        colour = view.colours[name] if picked else NEUTRAL
        parts += [
            text(bars_from - 8, y + 4, name, anchor="end", weight=600 if picked else 400,
                  faint=not picked),
            f'<rect x="{bars_from}" y="{y - 6}" width="{max(1.5, full * share / largest):.1f}" '
            f'height="12" rx="3" fill="{colour}" fill-opacity="{1 if picked else 0.45}"/>',
        ]  # fmt: skip
    return parts


def _card(
    view: PipelineView, expert: ChosenExpert, place: Place, box: tuple[float, float]
) -> list[str]:
    x, width = place
    y, height = box
    colour = view.colours[expert.name]
    parts = [
        f'<rect x="{x + 0.5}" y="{y}" width="{width - 1}" height="{height}" rx="10" '
        'fill-opacity=".05" stroke="currentColor" stroke-opacity=".15"/>',
        f'<rect x="{x}" y="{y + 10}" width="5" height="{height - 20}" rx="2.5" fill="{colour}"/>',
        text(x + 18, y + 23, expert.name, weight=600),
        text(x + 18, y + 42, expert.start, faint=True, most=40),
    ]
    if view.router:
        weight = words.weight(expert.weight)
        parts.append(text(x + width - 14, y + 23, weight, anchor="end", weight=600))
    rows = expert.guesses[: int((height - 50) // 21)]
    return parts + bars(rows, x + 18, y + 60, width - 32, colour, 21)


def _answer(view: PipelineView, place: Place) -> list[str]:
    x, width = place
    verdict = words.ANSWER_RIGHT if view.right else words.true_class(view.label)
    colour = TRAIN if view.right else WRONG
    mark = "✓" if view.right else "✗"
    return [
        *bars(view.answer, x, TOP + 62, width, colour, 25),
        f'<text x="{x}" y="{TOP + 36}" font-size="17" font-weight="600">'
        f"{escape(short(view.answer[0][0], 24))}</text>",
        f'<text x="{x}" y="{TOP + 68 + 5 * 25}" font-weight="600" fill="{colour}">'
        f"{mark} {escape(short(verdict, 28))}</text>",
    ]


def _links(view: PipelineView, boxes: Sequence[tuple[float, float]], places: _Places) -> list[str]:
    """Returns the flows between the columns; their width grows with the expert's weight."""
    parts: list[str] = []
    from_router, to_cards = sum(places.router) + 8, places.cards[0] - 4
    if places.image:
        left, middle = sum(places.image) + 8, TOP + places.image[1] / 2
        to = (places.router[0] - 6, middle) if view.router else (to_cards - 4, _centre(boxes[0]))
        parts.append(flow(left, middle, *to, NEUTRAL, 12))
    rows = {name: index for index, (name, _) in enumerate(view.router)}
    for expert, box in zip(view.chosen, boxes, strict=False):
        colour, width, y = view.colours[expert.name], 3 + 15 * expert.weight, _centre(box)
        if expert.name in rows:
            start = _row_middle(rows[expert.name], len(view.router))
            parts.append(flow(from_router, start, to_cards, y, colour, width))
        end = places.answer[0] - 12, TOP + 110
        parts.append(flow(sum(places.cards) + 4, y, *end, colour, width))
    return parts


def _headings(view: PipelineView, places: _Places) -> list[str]:
    """Returns the numbered titles of the columns."""
    cards, answer = places.cards[0], places.answer[0]
    titles = [(places.image[0], words.IMAGE)] if places.image else []
    if view.router:
        titles += [(places.router[0], words.ROUTER), (cards, words.EXPERTS)]
        titles += [(answer, words.MIXED_ANSWER)]
    else:
        titles += [(cards, words.CLASSIFIER), (answer, words.ANSWER)]
    return [
        line
        for number, (x, title) in enumerate(titles, start=1)
        for line in heading(x, str(number), title)
    ]


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
