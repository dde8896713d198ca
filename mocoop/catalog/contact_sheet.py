"""A contact sheet: one image that shows pictures of a data set."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont, ImageOps

from mocoop.datasets.base import Dataset, Item
from mocoop.errors import UserError

_SIDE = 96  # width and height of a picture, in pixels
_NAME = 22  # height of the class name above a row, in pixels


def contact_sheet(
    dataset: Dataset, split: str = "", columns: int = 11, rows: int = 12
) -> Image.Image:
    """Returns an image with one row of pictures per class, each below its class name.

    If styles are known, a row shows different styles first. If there are more classes than
    rows, evenly spaced classes are shown.

    Args:
        dataset: any data set.
        split: train, val or test; if empty, the first split that has images.
        columns: largest number of pictures per row.
        rows: largest number of classes.

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
    """Returns the items, reordered: the first item of every style comes first."""
    first = {item.style: item for item in reversed(items)}
    leading = [item for item in items if first[item.style] is item]
    ids = {item.id for item in leading}
    return leading + [item for item in items if item.id not in ids]
