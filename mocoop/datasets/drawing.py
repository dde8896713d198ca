"""Draws one shape in one of eleven styles; the hard prompt templates name the same styles.

A shape is a square mask (a font's glyph, or a scanned digit). A style is how its picture
looks: a photo, a sketch, a painting ... All random numbers come from the generator that is
passed in, so the same generator state gives the same picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

IMAGE_SIZE = 64  # width and height of every picture, in pixels
MASK_SIZES = (32, 64, 128)  # sizes in which the mask of a shape is kept, in pixels

STYLES = (
    "photo",
    "sketch",
    "painting",
    "pixelated",
    "blurry",
    "dark",
    "bright",
    "close-up",
    "small",
    "black and white",
    "sculpture",
)

Array = np.ndarray


@dataclass(frozen=True)
class Difficulty:
    """How much a drawing differs from an upright, clean shape."""

    rotation: float
    """Largest rotation in either direction, in degrees."""
    shear: float
    """Largest horizontal shear, as a fraction of the height."""
    mirror: float
    """Probability of a horizontal flip."""
    clutter: int
    """Largest number of random lines drawn over the picture."""
    inversion: float
    """Probability that light and dark are swapped."""
    low_contrast: float
    """Probability that shape and background have similar brightness."""
    warp: float = 0.0
    """Largest shift of the points of a coarse grid that bends the shape, in pixels."""


EASY = Difficulty(
    rotation=12.0, shear=0.08, mirror=0.0, clutter=0, inversion=0.0, low_contrast=0.0
)
HARD = Difficulty(
    rotation=28.0, shear=0.15, mirror=0.5, clutter=2, inversion=0.3, low_contrast=0.15, warp=2.0
)
# Digits are neither flipped nor rotated much: the result could be another digit or none.
BENT = Difficulty(
    rotation=12.0, shear=0.2, mirror=0.0, clutter=0, inversion=0.0, low_contrast=0.0, warp=4.0
)
UPRIGHT = Difficulty(
    rotation=8.0, shear=0.05, mirror=0.0, clutter=1, inversion=0.1, low_contrast=0.1
)


@dataclass(frozen=True)
class Shape:
    """A shape as masks from large to small, so that small pictures of it are smooth too."""

    masks: tuple[Image.Image, ...]

    @classmethod
    def from_mask(cls, mask: Image.Image) -> Shape:
        """Returns the shape of a greyscale mask: cropped, centred on a square, in 3 sizes."""
        box = mask.getbbox()
        if box is None:
            raise ValueError("a shape needs at least one non-zero pixel")
        cropped = mask.crop(box)
        side = max(cropped.size)
        square = Image.new("L", (side, side), 0)
        square.paste(cropped, ((side - cropped.width) // 2, (side - cropped.height) // 2))
        sizes = reversed(MASK_SIZES)
        return cls(tuple(square.resize((n, n), Image.Resampling.LANCZOS) for n in sizes))

    def at(self, side: float) -> Image.Image:
        """Returns the smallest mask with at least `side` pixels per side, else the largest."""
        fitting = [mask for mask in self.masks if mask.width >= side]
        return fitting[-1] if fitting else self.masks[0]


def draw(shape: Shape, style: str, difficulty: Difficulty, rng: Generator) -> Array:
    """Returns a picture of `shape` in `style`: uint8, (64, 64, 3)."""
    size = {"close-up": rng.uniform(78, 100), "small": rng.uniform(22, 29)}.get(
        style, rng.uniform(38, 50)
    )
    coverage = _place(shape, size, difficulty, rng)  # (height, width) in 0..1
    inverted = rng.random() < difficulty.inversion
    picture = _PAINTERS[style](coverage, inverted, difficulty, rng)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _place(shape: Shape, size: float, difficulty: Difficulty, rng: Generator) -> Array:
    """Returns the shape's coverage on the canvas after rotation, shear, mirror and shift."""
    mask = shape.at(size)
    angle = np.deg2rad(rng.uniform(-1, 1) * difficulty.rotation)
    shear = rng.uniform(-1, 1) * difficulty.shear
    mirror = -1.0 if rng.random() < difficulty.mirror else 1.0
    slack = abs(IMAGE_SIZE - size) / 2 * (0.8 if size < IMAGE_SIZE else 0.5)
    centre = IMAGE_SIZE / 2 + rng.uniform(-slack, slack, size=2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    skew = np.array([[mirror, shear], [0.0, 1.0]])
    # Pillow needs the map from canvas to mask, which is the inverse of the drawing transform.
    matrix = np.linalg.inv(turn @ skew * (size / mask.width))
    offset = mask.width / 2 - matrix @ centre
    canvas = (IMAGE_SIZE, IMAGE_SIZE)
    if difficulty.warp > 0:
        mesh = _bent_mesh(matrix, offset, difficulty.warp, rng)
        placed = mask.transform(canvas, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)
    else:
        affine = (*matrix[0], offset[0], *matrix[1], offset[1])
        placed = mask.transform(canvas, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    return np.asarray(placed, dtype=np.float32) / 255.0


def _bent_mesh(matrix: Array, offset: Array, warp: float, rng: Generator) -> list:
    """Returns Pillow's mesh from canvas to mask: an affine map with shifted grid points."""
    cells = 3
    ends = np.linspace(0, IMAGE_SIZE, cells + 1).round().astype(int)
    points = np.stack(np.meshgrid(ends, ends), axis=-1).astype(float)  # (row, column, xy)
    points += rng.uniform(-warp, warp, size=points.shape)
    source = points @ matrix.T + offset
    mesh = []
    for row in range(cells):
        for column in range(cells):
            box = (ends[column], ends[row], ends[column + 1], ends[row + 1])
            corners = [(row, column), (row + 1, column), (row + 1, column + 1), (row, column + 1)]
            mesh.append((tuple(map(int, box)), tuple(v for c in corners for v in source[c])))
    return mesh


def _noise(cells: int, channels: int, rng: Generator) -> Array:
    """Returns smooth noise in -1..1, (height, width, channels): a small random grid, enlarged."""
    grid = rng.integers(0, 256, size=(cells, cells, channels), dtype=np.uint8)
    image = Image.fromarray(grid[..., 0] if channels == 1 else grid)
    smooth = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
    values = np.asarray(smooth, dtype=np.float32) / 127.5 - 1.0
    return values[..., None] if channels == 1 else values


def _colours(inverted: bool, difficulty: Difficulty, rng: Generator) -> Array:
    """Returns the colours of shape and background, (2, 3) in 0..255.

    The shape is darker than the background unless `inverted`.
    """
    low = rng.random() < difficulty.low_contrast
    gap = rng.uniform(45, 70) if low else rng.uniform(85, 130)
    ground = rng.uniform(105 + gap / 3, 215)
    hue = rng.uniform(-45, 45, size=(2, 3))
    colours = np.array([[ground - gap], [ground]]) + hue - hue.mean(axis=1, keepdims=True)
    colours = np.clip(colours, 5, 250)
    return (255.0 - colours if inverted else colours).astype(np.float32)


def _photo(coverage: Array, inverted: bool, difficulty: Difficulty, rng: Generator) -> Array:
    """Returns a coloured shape on a textured background, with a gradient of light."""
    shape_colour, ground_colour = _colours(inverted, difficulty, rng)
    texture = 14 * _noise(4, 3, rng) + 7 * _noise(16, 3, rng)
    picture = ground_colour + texture
    cover = coverage[..., None]
    picture += cover * (shape_colour + 0.4 * texture - picture)
    _add_clutter(picture, difficulty, rng)
    slope = rng.uniform(-0.18, 0.18, size=2).astype(np.float32)
    along = np.linspace(-1, 1, IMAGE_SIZE, dtype=np.float32)
    return picture * (1 + slope[0] * along[:, None] + slope[1] * along[None, :])[..., None]


def _add_clutter(picture: Array, difficulty: Difficulty, rng: Generator) -> None:
    """Draws random lines into `picture`, in place: no one but the caller uses this array."""
    count = int(rng.integers(0, difficulty.clutter + 1))
    if count == 0:
        return
    lines = Image.new("L", (IMAGE_SIZE, IMAGE_SIZE), 0)
    pen = ImageDraw.Draw(lines)
    for _ in range(count):
        pen.line(rng.integers(0, IMAGE_SIZE, size=4).tolist(), fill=255, width=1)
    cover = np.asarray(lines, dtype=np.float32)[..., None] / 255.0
    picture += cover * (rng.uniform(0, 255, size=3).astype(np.float32) - picture)


def _sketch(coverage: Array, inverted: bool, difficulty: Difficulty, rng: Generator) -> Array:
    """Returns the outline: dark lines on light paper, or light lines on dark if inverted."""
    mask = Image.fromarray((coverage * 255).astype(np.uint8))
    thick = np.asarray(mask.filter(ImageFilter.MaxFilter(3)), dtype=np.float32)
    thin = np.asarray(mask.filter(ImageFilter.MinFilter(3)), dtype=np.float32)
    line = ((thick - thin) / 255.0)[..., None]
    grain = rng.uniform(0.75, 1.0, size=(IMAGE_SIZE, IMAGE_SIZE, 1)).astype(np.float32)
    picture = rng.uniform(236, 250) + 4 * _noise(32, 1, rng) + np.zeros(3, np.float32)
    picture -= line * grain * rng.uniform(170, 215)
    _add_clutter(picture, difficulty, rng)
    return 255.0 - picture if inverted else picture


def _painting(coverage: Array, inverted: bool, difficulty: Difficulty, rng: Generator) -> Array:
    """Returns a photo with saturated colours in few steps and irregularly shifted pixels."""
    base = _photo(coverage, inverted, difficulty, rng)
    base += 16 * _noise(6, 3, rng)
    shift = rng.uniform(1.3, 2.2) * _noise(20, 3, rng)[..., :2]
    rows, columns = np.mgrid[0:IMAGE_SIZE, 0:IMAGE_SIZE]
    rows = np.clip(rows + shift[..., 0], 0, IMAGE_SIZE - 1).astype(np.intp)
    columns = np.clip(columns + shift[..., 1], 0, IMAGE_SIZE - 1).astype(np.intp)
    moved = base[rows, columns]
    grey = moved.mean(axis=2, keepdims=True)
    vivid = grey + rng.uniform(1.7, 2.3) * (moved - grey)
    return np.round(vivid / 36) * 36


def _pixelated(coverage: Array, inverted: bool, difficulty: Difficulty, rng: Generator) -> Array:
    """Returns a photo reduced to about 20 × 20 cells and enlarged without smoothing."""
    image = _as_image(_photo(coverage, inverted, difficulty, rng))
    cells = int(rng.integers(17, 22))
    few = image.resize((cells, cells), Image.Resampling.BOX)
    return np.asarray(
        few.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.NEAREST), dtype=np.float32
    )


def _blurry(coverage: Array, inverted: bool, difficulty: Difficulty, rng: Generator) -> Array:
    """Returns a photo with Gaussian blur."""
    image = _as_image(_photo(coverage, inverted, difficulty, rng))
    blurred = image.filter(ImageFilter.GaussianBlur(rng.uniform(1.6, 2.4)))
    return np.asarray(blurred, dtype=np.float32)


def _dark(coverage: Array, inverted: bool, difficulty: Difficulty, rng: Generator) -> Array:
    """Returns a photo that is too dark, with noise."""
    picture = _photo(coverage, inverted, difficulty, rng)
    return picture * rng.uniform(0.18, 0.32) + rng.normal(0, 1.5, picture.shape)


def _bright(coverage: Array, inverted: bool, difficulty: Difficulty, rng: Generator) -> Array:
    """Returns a photo that is too bright."""
    keep = rng.uniform(0.24, 0.38)
    return 255 * (1 - keep) + keep * _photo(coverage, inverted, difficulty, rng)


def _black_and_white(
    coverage: Array, inverted: bool, difficulty: Difficulty, rng: Generator
) -> Array:
    """Returns a photo in grey."""
    picture = _photo(coverage, inverted, difficulty, rng)
    return np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)


def _sculpture(coverage: Array, inverted: bool, difficulty: Difficulty, rng: Generator) -> Array:
    """Returns the shape as a stone relief with light from the upper left (or right)."""
    mask = Image.fromarray((coverage * 255).astype(np.uint8))
    soft = mask.filter(ImageFilter.GaussianBlur(rng.uniform(0.7, 1.1)))
    height = np.asarray(soft, dtype=np.float32) / 255.0
    down, across = np.gradient(height)
    relief = down + (-across if inverted else across)
    stone = rng.uniform(110, 165) + rng.uniform(-9, 9, size=3)
    grain = 5 * _noise(24, 1, rng) + 3 * _noise(6, 1, rng)
    picture = (stone + grain).astype(np.float32) - rng.uniform(170, 230) * relief[..., None]
    _add_clutter(picture, difficulty, rng)
    return picture + 10 * height[..., None]


def _as_image(picture: Array) -> Image.Image:
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


_PAINTERS: dict[str, Callable[[Array, bool, Difficulty, Generator], Array]] = {
    "photo": _photo,
    "sketch": _sketch,
    "painting": _painting,
    "pixelated": _pixelated,
    "blurry": _blurry,
    "dark": _dark,
    "bright": _bright,
    "close-up": _photo,
    "small": _photo,
    "black and white": _black_and_white,
    "sculpture": _sculpture,
}
