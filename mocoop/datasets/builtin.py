"""The built-in sets: drawn pictographs, faces and game pieces, and real handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from mocoop.datasets.base import Dataset, Item
from mocoop.datasets.drawing import HARD, STYLES, UPRIGHT, Difficulty, Shape, draw
from mocoop.datasets.glyphs import DIGITS, FACES, GAMES, PICTOGRAPHS, glyph
from mocoop.datasets.splits import random_split
from mocoop.templates import load_templates

BUILTIN = ("pictographs", "faces", "games", "digits")

_VERSION = 1  # of the drawings: increase it when the same item is drawn differently
_TABLES = {"pictographs": PICTOGRAPHS, "faces": FACES, "games": GAMES}
_SEEDS = {"pictographs": 101, "faces": 102, "games": 103, "digits": 104}
_PER_STYLE = {"train": 4, "val": 1, "test": 2}  # drawings per class and style
_SPLIT_CODES = {"train": 1, "val": 2, "test": 3}


@dataclass(frozen=True)
class DrawnDataset(Dataset):
    """A set whose images are drawn on demand, each from its own seed.

    An item's id is split/class/style/number. Images of different splits never share a seed, and
    scanned digits never share a scan.
    """

    difficulty: Difficulty = HARD
    shapes: dict[int, Shape] = field(default_factory=dict, repr=False, compare=False)

    def image(self, item: Item) -> Image.Image:
        """Returns the drawing of an item, 64 × 64 pixels."""
        split, number = item.id.split("/")[0], int(item.id.split("/")[-1])
        style = item.style or STYLES[0]
        seed = [
            _VERSION,
            _SEEDS[self.name],
            _SPLIT_CODES[split],
            item.label,
            STYLES.index(style),
            number,
        ]
        rng = np.random.default_rng(seed)
        return Image.fromarray(draw(self._shape(item), style, self.difficulty, rng))

    def content_key(self, item: Item) -> str:
        """Returns all that the drawing depends on: set, version, difficulty and item."""
        return f"{self.name} v{_VERSION} {self.difficulty} {item.id}"

    def _shape(self, item: Item) -> Shape:
        return self.shapes[item.label]


@dataclass(frozen=True)
class ScannedDigits(DrawnDataset):
    """The 1,797 handwritten digits of scikit-learn, each scan drawn in one of the styles."""

    scans: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False, compare=False)

    def _shape(self, item: Item) -> Shape:
        scan = self.scans[int(item.id.split("/")[-1])]  # (8, 8) in 0..16
        grey = Image.fromarray((scan / 16.0 * 255.0).astype(np.uint8))
        smooth = grey.resize((64, 64), Image.Resampling.BICUBIC)
        # Higher contrast turns the blurred edges of the 8 × 8 scan into strokes.
        return Shape.from_mask(smooth.point(lambda v: max(0, min(255, int((v - 70) * 2.2)))))


def load_builtin(name: str) -> Dataset:
    """Returns the built-in set called `name`, with its standard difficulty."""
    return _digits() if name == "digits" else _drawn(name)


def _drawn(name: str) -> DrawnDataset:
    table = _TABLES[name]
    splits = {
        split: tuple(
            Item(f"{split}/{class_name}/{style}/{number}", label, style)
            for label, class_name in enumerate(table)
            for number in range(count)
            for style in STYLES
        )
        for split, count in _PER_STYLE.items()
    }
    shapes = {label: glyph(character) for label, character in enumerate(table.values())}
    templates = load_templates("drawn")
    return DrawnDataset(name, tuple(table), splits, templates, shapes=shapes)


def _digits() -> ScannedDigits:
    from sklearn.datasets import load_digits  # imported here: slow, and only this set needs it

    scans = load_digits()
    names = tuple(DIGITS)
    labels = [int(label) for label in scans.target]
    parts = zip(("train", "val", "test"), random_split(labels, seed=1), strict=True)
    splits = {
        split: tuple(
            Item(f"{split}/{names[labels[i]]}/{STYLES[k % len(STYLES)]}/{i}", labels[i],
                 STYLES[k % len(STYLES)])
            for k, i in enumerate(indices)
        )
        for split, indices in parts
    }  # fmt: skip
    return ScannedDigits(
        "digits", names, splits, load_templates("drawn"), difficulty=UPRIGHT, scans=scans.images
    )
