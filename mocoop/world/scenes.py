"""Draws scenes: up to three things, each in its role, on a ground, in a style.

Everything random comes from the generator that is passed in, so the same generator state gives
the same picture. Pictures are arrays with the channels first, which numpy works through fastest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from mocoop.errors import choose_from
from mocoop.world.fonts import FontBook, Mask
from mocoop.world.layers import GROUNDS, Layer, NoiseBank, Palette
from mocoop.world.patches import patch_roles
from mocoop.world.roles import BACK_TO_FRONT, IMAGE_SIZE, ROLES, Spot, spots
from mocoop.world.styles import STYLES, paint
from mocoop.world.things import Thing

Array = np.ndarray


@dataclass(frozen=True)
class Difficulty:
    """How far scenes stray from upright, clean things."""

    rotation: float
    """Largest rotation to either side, in degrees."""
    shear: float
    """Largest horizontal shear, as a fraction of the height."""
    shift: float
    """How far things stray from their usual place; 1 is a little."""
    mirror: float
    """Probability of a left-right mirror image."""
    inversion: float
    """Probability that light and dark change places."""
    low_contrast: float
    """Probability that a thing and the ground are close in brightness."""
    clutter: int
    """Largest number of stray lines drawn over the scene."""
    noise: float
    """Standard deviation of noise on every pixel, in 0..255."""


EASY = Difficulty(
    rotation=12.0, shear=0.08, shift=1.0, mirror=0.0, inversion=0.0, low_contrast=0.0,
    clutter=0, noise=0.0,
)  # fmt: skip
HARD = Difficulty(
    rotation=16.0, shear=0.12, shift=1.3, mirror=0.3, inversion=0.15, low_contrast=0.1,
    clutter=1, noise=4.0,
)  # fmt: skip
# Digits and faces keep their orientation: a mirrored 2 or a turned 6 is another digit or none.
UPRIGHT = Difficulty(
    rotation=10.0, shear=0.1, shift=1.3, mirror=0.0, inversion=0.15, low_contrast=0.1,
    clutter=1, noise=4.0,
)  # fmt: skip
SETTINGS = {"easy": EASY, "hard": HARD}


@dataclass(frozen=True)
class Scene:
    """What is to be seen."""

    things: Mapping[str, Thing]
    """Role → thing."""
    style: str
    ground: str = "textured"

    def __post_init__(self) -> None:
        for role in self.things:
            if role not in ROLES:
                raise choose_from("role", role, ROLES)
        if self.style not in STYLES:
            raise choose_from("style", self.style, STYLES)
        if self.ground not in GROUNDS:
            raise choose_from("ground", self.ground, GROUNDS)


class Painter:
    """Draws scenes; keeps the masks of things and some noise, so that a scene takes 1 to 2 ms."""

    def __init__(self) -> None:
        self._book = FontBook()
        self._noise = NoiseBank()

    def draw(
        self,
        scene: Scene,
        difficulty: Difficulty,
        rng: Generator,
        masks: Mapping[str, Mask] | None = None,
    ) -> Array:
        """Returns a picture of a scene: uint8, (3, height, width), 64 px square.

        Args:
            scene: what is to be seen.
            difficulty: how far it strays from upright, clean things.
            rng: draws everything that is left open.
            masks: role → a shape that stands in for the thing's own glyph.

        Raises:
            UserError: if the icon font is missing or does not fit.
        """
        return self.draw_with_patches(scene, difficulty, rng, masks)[0]

    def draw_with_patches(
        self,
        scene: Scene,
        difficulty: Difficulty,
        rng: Generator,
        masks: Mapping[str, Mask] | None = None,
    ) -> tuple[Array, Array]:
        """Returns what `draw` does, and the role in each patch (`patch_roles`)."""
        roles = [role for role in BACK_TO_FRONT if role in scene.things]
        places = spots(roles, difficulty.shift, rng)
        palette = Palette.random(scene.ground, difficulty, rng)
        layers: list[Layer] = []
        for role in roles:
            mask = (masks or {}).get(role) or self._mask(scene.things[role], rng)
            layers.append(self._layer(role, mask, places.get(role), difficulty, bool(layers), rng))
        clutter = _stray_lines(difficulty.clutter, rng) if difficulty.clutter else None
        picture = paint(scene.style, layers, palette, clutter, self._noise, rng)
        if difficulty.noise:
            noise = rng.standard_normal(picture.shape, dtype=np.float32)
            picture = picture + difficulty.noise * noise
        return np.clip(picture, 0, 255).astype(np.uint8), patch_roles(layers)

    def _mask(self, thing: Thing, rng: Generator) -> Mask:
        """Returns one of a thing's shapes: the usual one two times out of three."""
        others = len(thing.glyphs) - 1
        if not others:
            return self._book.mask(thing.glyphs[0])
        usual = thing.field != "digits" and rng.random() < 0.67
        return self._book.mask(thing.glyphs[0 if usual else int(rng.integers(others + 1))])

    def _layer(
        self,
        role: str,
        mask: Mask,
        spot: Spot | None,
        difficulty: Difficulty,
        covers: bool,
        rng: Generator,
    ) -> Layer:
        """Returns a thing's coverage of the scene, and how it hides what is behind it."""
        if spot is None:
            return Layer(role, _pattern(mask, difficulty, rng), None)
        cover = _placed(mask, spot, (IMAGE_SIZE, IMAGE_SIZE), difficulty, rng)
        if role == "framed":
            frame, inside = _frame(spot, rng)
            return Layer(role, np.maximum(cover, frame), inside)
        return Layer(role, cover, widened(cover, 2) if covers else None)


def as_image(picture: Array) -> Image.Image:
    """Returns a drawn picture (3, height, width) as a Pillow image in RGB."""
    return Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))


def widened(cover: Array, by: int) -> Array:
    """Returns a coverage that reaches `by` pixels further to all sides."""
    padded = np.pad(cover, by)
    size = len(cover)
    rows = padded[:size]
    for start in range(1, 2 * by + 1):
        rows = np.maximum(rows, padded[start : start + size])
    wide = rows[:, :size]
    for start in range(1, 2 * by + 1):
        wide = np.maximum(wide, rows[:, start : start + size])
    return wide


def _placed(
    mask: Mask, spot: Spot, canvas: tuple[int, int], difficulty: Difficulty, rng: Generator
) -> Array:
    """Returns a shape's coverage (height, width) in 0..1 after rotation, shear and mirror."""
    copy = mask.at(spot.size)
    angle, shear = rng.uniform(-1, 1, size=2)
    angle, shear = np.deg2rad(angle * difficulty.rotation), shear * difficulty.shear
    mirror = -1.0 if difficulty.mirror and rng.random() < difficulty.mirror else 1.0
    # Pillow wants the map from canvas to mask: the inverse of turn · skew · scale.
    scale = copy.width / spot.size
    cos, sin = np.cos(angle), np.sin(angle)
    a, b = (cos + shear * sin) * scale * mirror, (sin - shear * cos) * scale * mirror
    d, e = -sin * scale, cos * scale
    half = copy.width / 2
    c, f = half - a * spot.x - b * spot.y, half - d * spot.x - e * spot.y
    placed = copy.transform(
        canvas, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR
    )
    return np.asarray(placed, dtype=np.float32) / 255.0


def _pattern(mask: Mask, difficulty: Difficulty, rng: Generator) -> Array:
    """Returns a coverage in which a shape stands in rows, every other row shifted by half."""
    size = float(rng.uniform(15.5, 19))
    step = round(size) + 2
    spot = Spot(step / 2, step / 2, size)
    tile = _placed(mask, spot, (step, step), difficulty, rng)
    shifted = np.roll(tile, step // 2, axis=1)
    pair = np.concatenate([tile, shifted])
    down, right = rng.integers(0, 2 * step), rng.integers(0, step)
    rows = (np.arange(IMAGE_SIZE) + down) % (2 * step)
    columns = (np.arange(IMAGE_SIZE) + right) % step
    return pair[rows[:, None], columns]


def _frame(spot: Spot, rng: Generator) -> tuple[Array, Array]:
    """Returns the coverage of a frame around a thing, round or square, and of what is inside."""
    along = np.arange(IMAGE_SIZE, dtype=np.float32) + 0.5
    x, y = np.abs(along - spot.x)[None, :], np.abs(along - spot.y)[:, None]
    if rng.random() < 0.5:
        distance, radius = np.sqrt(x * x + y * y), 0.68 * spot.size + 2
    else:
        distance, radius = np.maximum(x, y), 0.58 * spot.size + 2
    return np.clip(1.6 - np.abs(distance - radius), 0, 1), np.clip(radius + 2 - distance, 0, 1)


def _stray_lines(most: int, rng: Generator) -> Array | None:
    """Returns the coverage of up to `most` stray lines, None without any."""
    count = int(rng.integers(0, most + 1))
    if count == 0:
        return None
    lines = Image.new("L", (IMAGE_SIZE, IMAGE_SIZE), 0)
    pen = ImageDraw.Draw(lines)
    for _ in range(count):
        pen.line(rng.integers(0, IMAGE_SIZE, size=4).tolist(), fill=255, width=1)
    return np.asarray(lines, dtype=np.float32) / 255.0


def contact_sheet(pictures: Sequence[Array], columns: int) -> Image.Image:
    """Returns pictures side by side, row by row."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * IMAGE_SIZE, rows * IMAGE_SIZE), "white")
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        sheet.paste(as_image(picture), (column * IMAGE_SIZE, row * IMAGE_SIZE))
    return sheet
