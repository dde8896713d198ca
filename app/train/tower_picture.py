"""A drawing of CLIP's two towers in which the learned parts are blue, as SVG."""

from __future__ import annotations

from html import escape

from app.common.theme import NEUTRAL, TRAIN
from app.train import tower_words as words
from app.train.tower_parts import LearnedParts

Depths = tuple[int | None, int | None]

WIDTH, HEIGHT = 400, 254
COLUMN = 176  # width of a tower
TEXT_X, IMAGE_X = 8, 216
SCORES_Y, FEATURES_Y, TOP, BOTTOM, INPUT_Y = 4, 44, 92, 190, 204
ZONE = 46  # height of the blocks with learned tokens
ROW, TOKEN, GAP = 22, 12, 4
META_NET_Y, META_NET = FEATURES_Y + ROW + 3, 18  # between the image feature and the tower
SHOWN = 3  # tokens, and experts, whatever their number is


def towers_svg(parts: LearnedParts, depths: Depths = (None, None)) -> str:
    """Returns the drawing as an SVG element with the page's font and text colour.

    Its text for screen readers says what is learned.

    Args:
        parts: what is learned.
        depths: number of blocks of the text tower and of the image tower, where it is known.
    """
    text = _text_column(parts, depths[0])
    if not parts.uses_text:
        text = ['<g opacity=".35">', *text, "</g>"]
    lines = [*_links(parts, depths), *text, *_image_column(parts, depths[1])]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(parts.in_words())}" '
        'style="width:100%;max-width:460px;display:block;font-family:inherit;font-size:12px" '
        f'fill="currentColor">{"".join(lines)}</svg>'
    )


def _text_column(parts: LearnedParts, blocks: int | None) -> list[str]:
    extras = [words.VECTOR] if parts.correction else []
    extras += [parts.text_side] if parts.text_side else []
    label = words.TEXT_TOWER if parts.uses_text else words.NOT_USED
    lines = _features(TEXT_X, words.TEXT_FEATURES, extras)
    depth = parts.text_depth if parts.text_depth > 1 else 0  # block 1's tokens are the context
    depth = len(parts.text_keys) or depth
    every = [words.LOW_RANK_LABEL] if parts.low_rank else []
    note = words.numbers(parts.text_keys, parts.searched)
    lines += _blocks(TEXT_X, depth, blocks, -30, every, note)
    if depth:
        lines += _tokens(TEXT_X + COLUMN - 58, _middle(depth, blocks) - TOKEN / 2, SHOWN, True)
    lines += _context(parts)
    lines += _box(TEXT_X + 66, INPUT_Y, 84, ROW, words.NAME, False)
    lines += _tokens(TEXT_X + 158, INPUT_Y + 5, 1, parts.after)
    return [*lines, _text(TEXT_X + COLUMN / 2, HEIGHT - 6, label)]


def _image_column(parts: LearnedParts, blocks: int | None) -> list[str]:
    extras = [words.ROUTER_LABEL] if parts.router else []
    extras += [parts.image_side] if parts.image_side else []
    lines = _features(IMAGE_X, words.IMAGE_FEATURE, extras)
    if parts.meta_net:
        lines += _box(IMAGE_X, META_NET_Y, 72, META_NET, words.META_NET_LABEL, True)
    every = [words.NORMS_LABEL] if parts.layer_norms else []
    every += [words.LOW_RANK_LABEL] if parts.low_rank else []
    note = words.numbers(parts.image_keys, parts.searched)
    late = 30 if parts.expert_depth else 0
    lines += _blocks(IMAGE_X, parts.image_depth, blocks, 30, every, note, late)
    if parts.expert_depth:  # one row for each of several experts
        for row in range(SHOWN):
            lines += _tokens(IMAGE_X + 12, TOP + 9 + 9 * row, SHOWN, True, 7)
    if parts.image_depth:
        lines += _tokens(IMAGE_X + 12, _middle(parts.image_depth, blocks) - TOKEN / 2, SHOWN, True)
    lines += _tokens(IMAGE_X + 24, INPUT_Y + 5, 4, False)
    lines.append(_text(IMAGE_X + 118, INPUT_Y + 15, words.PATCHES))
    return [*lines, _text(IMAGE_X + COLUMN / 2, HEIGHT - 6, words.IMAGE_TOWER)]


def _context(parts: LearnedParts) -> list[str]:
    """Returns the tokens before the name: one row, or one for each of several experts."""
    if parts.several:
        return [
            line
            for row in range(SHOWN)
            for line in _tokens(TEXT_X + 10, INPUT_Y - 2 + 9 * row, SHOWN, parts.context, 7)
        ]
    learned = min(parts.first_words or SHOWN, SHOWN) if parts.context else 0
    x, y = TEXT_X + 8, INPUT_Y + 5
    return [
        *_tokens(x, y, learned, True),
        *_tokens(x + learned * (TOKEN + GAP), y, SHOWN - learned, False),
    ]


def _links(parts: LearnedParts, depths: Depths) -> list[str]:
    """Returns the lines between the parts, and the class scores at their end."""
    middles = [IMAGE_X + COLUMN / 2]
    if parts.uses_text:
        middles.insert(0, TEXT_X + COLUMN / 2)
    lines = _box(WIDTH / 2 - 55, SCORES_Y, 110, ROW, words.SCORES, False)
    for x in middles:
        lines.append(_line(x, INPUT_Y - 2, x, BOTTOM))
        lines.append(_line(x, TOP, x, FEATURES_Y + ROW))
        lines.append(_line(x, FEATURES_Y, WIDTH / 2, SCORES_Y + ROW))
    start, end, between = TEXT_X + COLUMN, IMAGE_X, (TEXT_X + COLUMN + IMAGE_X) / 2
    if parts.coupling:
        y = _middle(parts.image_depth, depths[1])
        y0 = _middle(parts.text_depth, depths[0])
        path = f"M{start - 8} {y0} L{between} {y0} L{between} {y} L{end + 6} {y}"
        lines.append(_arrow(path, end + 6, y, 1))
        if parts.text_depth == 1:  # from the context, the only learned tokens of the text tower
            y0 = INPUT_Y + ROW / 2
            lines[-1] = _arrow(f"M{start} {y0} L{between} {y0} L{between} {y} L{end + 6} {y}",
                               end + 6, y, 1)  # fmt: skip
    if parts.meta_net:
        y0, y1 = META_NET_Y + META_NET / 2, INPUT_Y + ROW + 9
        path = f"M{end} {y0} L{between} {y0} L{between} {y1} L{TEXT_X + 22} {y1}"
        lines.append(_arrow(f"{path} L{TEXT_X + 22} {y1 - 6}", TEXT_X + 22, y1 - 6, 0))
    if parts.router:
        y = FEATURES_Y + ROW / 2
        lines.append(_arrow(f"M{end} {y} L{start + 6} {y}", start + 4, y, -1))
    return lines


def _features(x: float, label: str, extras: list[str]) -> list[str]:
    """Returns the row of a tower's features, with what is learned on them beside it.

    On image features it stands at the side of the text tower, to which the router leads.
    """
    whole = 88.0 if extras else 116.0
    rest = (COLUMN - whole) / len(extras) if extras else 0.0
    towards = x == IMAGE_X
    own_x = x + COLUMN - whole if towards and extras else x + (0 if extras else 30)
    lines = _box(own_x, FEATURES_Y, whole, ROW, label, False)
    for number, extra in enumerate(extras):
        at = x + number * rest if towards else x + whole + number * rest
        inset = 0.0 if towards else GAP
        lines += _box(at + inset, FEATURES_Y, rest - GAP, ROW, extra, True)
    return lines


def _blocks(
    x: float,
    depth: int,
    blocks: int | None,
    aside: float,
    every: list[str],
    note: str = "",
    late: float = 0,
) -> list[str]:
    """Returns a tower's blocks: those with learned tokens below, all others above.

    Args:
        x: the tower's left side.
        depth: number of the first blocks with learned tokens.
        blocks: number of all blocks, if it is known.
        aside: how far their label goes aside for the tokens.
        every: labels of what every block learns.
        note: a second line on the blocks with learned tokens, or "".
        late: how far the label of the blocks above them goes aside for tokens of the last ones.
    """
    if not depth:
        return _zone(x, TOP, BOTTOM - TOP, words.zone(1, blocks), late, every)
    if _all_of(depth, blocks):
        return _zone(x, TOP, BOTTOM - TOP, words.zone(1, depth), aside, every, note)
    upper = BOTTOM - ZONE - GAP - TOP
    return [
        *_zone(x, TOP, upper, words.zone(depth + 1, blocks), late, every),
        *_zone(x, BOTTOM - ZONE, ZONE, words.zone(1, depth), aside, every, note),
    ]


def _all_of(depth: int, blocks: int | None) -> bool:
    """Returns whether no blocks are left above the first ones."""
    return blocks is not None and depth >= blocks


def _middle(depth: int, blocks: int | None) -> float:
    """Returns the height of the middle of the blocks with learned tokens."""
    return (TOP + BOTTOM) / 2 if _all_of(depth, blocks) else BOTTOM - ZONE / 2


def _zone(
    x: float,
    y: float,
    height: float,
    label: str,
    aside: float,
    every: list[str],
    note: str = "",
) -> list[str]:
    """Returns some blocks of a tower as one box; lines at its edges stand for what all learn."""
    lines = _box(x, y, COLUMN, height, "", False)
    second = ", ".join([*filter(None, [note]), *every])
    middle = y + height / 2 + 4 - (6 if second else 0)
    lines.append(_text(x + COLUMN / 2 + aside, middle, label))
    if second:
        lines.append(_text(x + COLUMN / 2 + aside, middle + 14, second))
    if every:
        lines += [
            f'<rect x="{x + 6:.1f}" y="{edge:.1f}" width="{COLUMN - 12}" height="3" '
            f'fill="{TRAIN}"/>'
            for edge in (y + 4, y + height - 7)
        ]
    return lines


def _tokens(x: float, y: float, count: int, learned: bool, side: float = TOKEN) -> list[str]:
    """Returns a row of small squares, one per token."""
    return [
        f'<rect x="{x + index * (TOKEN + GAP):.1f}" y="{y:.1f}" width="{TOKEN}" height="{side}" '
        f'rx="2" {_paint(learned)}/>'
        for index in range(count)
    ]


def _box(x: float, y: float, width: float, height: float, label: str, learned: bool) -> list[str]:
    """Returns a box with a label, if it has one, in its middle."""
    box = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="4" '
        f"{_paint(learned)}/>"
    )
    return [box, _text(x + width / 2, y + height / 2 + 4, label, learned)] if label else [box]


def _paint(learned: bool) -> str:
    if learned:
        return f'fill="{TRAIN}" stroke="{TRAIN}"'
    return f'fill="{NEUTRAL}" fill-opacity=".22" stroke="{NEUTRAL}"'


def _text(x: float, y: float, label: str, on_blue: bool = False) -> str:
    look = ' fill="#ffffff" font-weight="600"' if on_blue else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle"{look}>{escape(label)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<path d="M{x1:.1f} {y1:.1f} L{x2:.1f} {y2:.1f}" stroke="{NEUTRAL}" stroke-width="1.5"/>'
    )


def _arrow(path: str, x: float, y: float, towards: int) -> str:
    """Returns a blue line that ends in an arrow at (x, y).

    Args:
        path: the line, as the `d` of an SVG path.
        x, y: its end.
        towards: 1 if the arrow points to the right, -1 to the left, 0 upwards.
    """
    side = -5 * towards
    head = f"{x + side},{y - 4} {x},{y} {x + side},{y + 4}"
    if not towards:
        head = f"{x - 4},{y + 5} {x},{y} {x + 4},{y + 5}"
    return (
        f'<path d="{path}" fill="none" stroke="{TRAIN}" stroke-width="2"/>'
        f'<polygon points="{head}" fill="{TRAIN}" stroke="{TRAIN}"/>'
    )
