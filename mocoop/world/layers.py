"""What every style paints with: the layers of a scene, its colours, and smooth noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator
from PIL import Image

from mocoop.world.roles import IMAGE_SIZE

if TYPE_CHECKING:
    from mocoop.world.scenes import Difficulty

GROUNDS = ("textured", "plain", "white")
"""What is behind all things. White also stands for transparent, which is shown on white."""

Array = np.ndarray

_CELLS = (4, 6, 16, 20, 32)  # coarseness of the noise: cells along a side
_BANK = 24  # noise pictures of each coarseness
_MARGIN = 32  # pixels that a noise picture is larger than a scene
# Share of a thing's contrast that is left in a pattern behind the others.
_FAINT = 0.62


@dataclass(frozen=True)
class Layer:
    """A thing in a scene."""

    role: str
    cover: Array
    """How much of each pixel it covers, (height, width) in 0..1."""
    hides: Array | None
    """How much of each pixel behind it gives way to the ground, (height, width) in 0..1."""

    @property
    def strength(self) -> float:
        """How strongly it stands out, 1 for all but a pattern."""
        return _FAINT if self.role == "many" else 1.0


@dataclass(frozen=True)
class Palette:
    """The colours of a scene: everything on it is darker than its ground, or lighter."""

    ground: Array
    """(3, 1, 1) in 0..255."""
    gap: tuple[float, float]
    """Smallest and largest difference in brightness of a thing and the ground."""
    colourful: float
    """Largest shift of a colour channel of a thing."""
    texture: float
    """Strength of the noise on the ground, 0 to 1."""
    inverted: bool
    """Whether things are lighter than their ground."""

    @classmethod
    def random(cls, kind: str, difficulty: Difficulty, rng: Generator) -> Palette:
        """Returns the colours of a scene on a kind of ground."""
        inverted = bool(difficulty.inversion and rng.random() < difficulty.inversion)
        low = bool(difficulty.low_contrast and rng.random() < difficulty.low_contrast)
        if kind == "white":
            ground = np.full((3, 1, 1), 255.0, np.float32)
            black = rng.random() < 0.5
            gap = (90.0, 130.0) if low else (225.0, 255.0) if black else (120.0, 220.0)
            return cls(ground, gap, 0.0 if black else 60.0, 0.0, inverted)
        gap = (45.0, 70.0) if low else (85.0, 130.0)
        hue = rng.uniform(-45, 45, size=3)
        level = rng.uniform(105 + gap[1] / 3, 215)
        colour = np.clip(level + hue - hue.mean(), 5, 250).astype(np.float32)[:, None, None]
        texture = 1.0 if kind == "textured" else 0.0
        return cls(colour, gap, 45.0, texture, inverted)

    def thing(self, strength: float, rng: Generator) -> Array:
        """Returns a thing's colour, (3, 1, 1)."""
        hue = rng.uniform(-self.colourful, self.colourful, size=3)
        level = float(self.ground.mean()) - strength * rng.uniform(*self.gap)
        colour = np.clip(level + strength * (hue - hue.mean()), 5, 250)
        return colour.astype(np.float32)[:, None, None]

    def finished(self, picture: Array) -> Array:
        """Returns the picture with light and dark changed where the scene is inverted."""
        return 255.0 - picture if self.inverted else picture


class NoiseBank:
    """Smooth noise, made once: a scene takes a part of one of its pictures."""

    def __init__(self) -> None:
        rng = np.random.default_rng(20)
        self._pictures = {cells: _smooth(cells, rng) for cells in _CELLS}

    def take(self, cells: int, rng: Generator) -> Array:
        """Returns noise in -1..1, (3, height, width), with `cells` bumps along a scene's side."""
        which, down, right = rng.integers(0, (_BANK, _MARGIN, _MARGIN))
        picture = self._pictures[cells][which]
        return picture[:, down : down + IMAGE_SIZE, right : right + IMAGE_SIZE]


def _smooth(cells: int, rng: Generator) -> Array:
    """Returns a bank of noise, (pictures, 3, height, width) in -1..1, float32."""
    side = IMAGE_SIZE + _MARGIN
    few = -(-cells * side // IMAGE_SIZE)
    found = []
    for _ in range(_BANK):
        grid = rng.integers(0, 256, size=(few, few, 3), dtype=np.uint8)
        smooth = Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC)
        found.append(np.asarray(smooth, dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1.0)
    return np.stack(found)
