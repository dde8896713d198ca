"""A contact sheet: what the pictures of a data set look like, as one image."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont, ImageOps

from mocoop.datasets.base import Dataset, Item
from mocoop.errors import UserError

_SIDE = 96  # pixels of a picture
_NAME = 22  # pixels of the line above a row


def contact_sheet(
    dataset: Dataset, split: str = "", columns: int = 11, rows: int = 12
) -> Image.Image:
    """Returns a row of pictures for each of some classes, with the class names above.

    Where styles are known the pictures of a row differ in style. Sets with more classes than
    rows show classes that are evenly spread.

    Args:
        dataset: any set.
        split: train, val or test; the first that has images if empty.
        columns: pictures in a row at most.
        rows: classes at most.

    Raises:
        UserError: for a split without images, or a picture that cannot be read.
    """
    chosen = split or next((s for s, items in dataset.splits.items() if items), "train")
    if not dataset.items(chosen):
        raise UserError(f"{dataset.name} has no {chosen} image to show.")
    by_label: dict[int, list[Item]] = {}
    for item in dataset.items(chosen):
        by_label.setdefault(item.label, []).append(item)
    labels = sorted(by_label)
    step = max(1, len(labels) / rows)
    shown = [labels[int(row * step)] for row in range(min(rows, len(labels)))]
    sheet = Image.new("RGB", (columns * _SIDE, len(shown) * (_SIDE + _NAME)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for row, label in enumerate(shown):
        top = row * (_SIDE + _NAME)
        pen.text((6, top + 3), dataset.class_names[label], "black", font)
        for column, item in enumerate(_mixed(by_label[label])[:columns]):
            picture = ImageOps.pad(dataset.image(item), (_SIDE, _SIDE), color="white")
            sheet.paste(picture, (column * _SIDE, top + _NAME))
    return sheet


def _mixed(items: list[Item]) -> list[Item]:
    """Returns the items with the first of every style in front."""
    first = {item.style: item for item in reversed(items)}
    front = [item for item in items if first[item.style] is item]
    ids = {item.id for item in front}
    return front + [item for item in items if item.id not in ids]
