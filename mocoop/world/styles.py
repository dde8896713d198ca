"""How a scene looks: nine styles that hard prompt templates name, on three grounds.

Version 0.1 had two more styles, `close-up` and `small`. They are roles here, `cropped` and
`small`, which things of every style can have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator

from mocoop.world.layers import Array, Layer, NoiseBank, Palette
from mocoop.world.roles import IMAGE_SIZE

STYLES = (
    "photo",
    "sketch",
    "painting",
    "pixelated",
    "blurry",
    "dark",
    "bright",
    "black and white",
    "sculpture",
)


_SHADING = 0.3  # of the inside of a sketched thing, 1 for the blackness of its outline


def paint(
    style: str,
    layers: Sequence[Layer],
    palette: Palette,
    clutter: Array | None,
    noise: NoiseBank,
    rng: Generator,
) -> Array:
    """Returns a picture (3, height, width) in 0..255, not yet clipped.

    Args:
        style: one of STYLES.
        layers: the things, from back to front.
        palette: the colours.
        clutter: coverage of stray lines, (height, width), or None.
        noise: smooth noise.
        rng: draws everything that is left open.
    """
    return _PAINTERS[style](layers, palette, clutter, noise, rng)


def _photo(
    layers: Sequence[Layer],
    palette: Palette,
    clutter: Array | None,
    noise: NoiseBank,
    rng: Generator,
) -> Array:
    """Returns coloured things on a ground under a slanting light."""
    ground, texture = palette.ground, np.float32(0)
    if palette.texture:
        texture = 13 * noise.take(4, rng) + 6 * noise.take(16, rng)
    picture = np.empty((3, IMAGE_SIZE, IMAGE_SIZE), np.float32)
    picture[:] = ground + texture
    for layer in layers:
        if layer.hides is not None:
            picture += 0.8 * layer.hides * (ground + 0.3 * texture - picture)
        colour = palette.thing(layer.strength, rng)
        picture += layer.cover * (colour + 0.4 * texture - picture)
    if clutter is not None:
        picture += clutter * (rng.uniform(0, 255, size=(3, 1, 1)).astype(np.float32) - picture)
    if palette.texture:
        slope = rng.uniform(-0.16, 0.16, size=2).astype(np.float32)
        along = np.linspace(-1, 1, IMAGE_SIZE, dtype=np.float32)
        picture *= 1 + slope[0] * along[:, None] + slope[1] * along[None, :]
    return palette.finished(picture)


def _sketch(
    layers: Sequence[Layer],
    palette: Palette,
    clutter: Array | None,
    noise: NoiseBank,
    rng: Generator,
) -> Array:
    """Returns shaded outlines in pencil on paper, or in chalk on slate if inverted."""
    lines = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.float32)
    for layer in layers:
        if layer.hides is not None:
            lines *= 1 - layer.hides
        drawn = np.maximum(_outline(layer.cover), _SHADING * layer.cover)
        lines = np.maximum(lines, (0.75 * layer.strength + 0.25) * drawn)
    grain = rng.random((IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32) * 0.25 + 0.75
    paper = 255.0 if palette.ground.min() == 255 else rng.uniform(234, 250)
    sheet = paper + 4 * palette.texture * noise.take(32, rng)[:1]
    picture = np.repeat(sheet - lines * grain * np.float32(rng.uniform(170, 215)), 3, axis=0)
    if clutter is not None:
        picture = picture * (1 - clutter) + clutter * rng.uniform(0, 255)
    return palette.finished(picture.astype(np.float32))


def _painting(
    layers: Sequence[Layer],
    palette: Palette,
    clutter: Array | None,
    noise: NoiseBank,
    rng: Generator,
) -> Array:
    """Returns saturated colours in broad, shifted brush strokes."""
    base = _photo(layers, palette, clutter, noise, rng) + 15 * noise.take(6, rng)
    shift = np.float32(rng.uniform(0.7, 1.2)) * noise.take(20, rng)
    along = np.arange(IMAGE_SIZE, dtype=np.float32)
    rows = np.clip(along[:, None] + shift[0] + 0.5, 0, IMAGE_SIZE - 1).astype(np.intp)
    columns = np.clip(along[None, :] + shift[1] + 0.5, 0, IMAGE_SIZE - 1).astype(np.intp)
    moved = base.reshape(3, -1)[:, rows * IMAGE_SIZE + columns]
    grey = moved.mean(axis=0)
    vivid = grey + np.float32(rng.uniform(1.7, 2.3)) * (moved - grey)
    return np.round(vivid * (1 / 36)) * 36


def _pixelated(
    layers: Sequence[Layer],
    palette: Palette,
    clutter: Array | None,
    noise: NoiseBank,
    rng: Generator,
) -> Array:
    """Returns a photo of few cells, each of one colour."""
    picture = _photo(layers, palette, clutter, noise, rng)
    cells = int(rng.integers(28, 35))
    of_cell = np.arange(IMAGE_SIZE) * cells // IMAGE_SIZE
    starts = np.flatnonzero(np.diff(of_cell, prepend=-1))
    widths = np.diff(starts, append=IMAGE_SIZE).astype(np.float32)
    few = np.add.reduceat(np.add.reduceat(picture, starts, axis=1), starts, axis=2)
    few /= widths[:, None] * widths
    return few[:, of_cell[:, None], of_cell]


def _blurry(
    layers: Sequence[Layer],
    palette: Palette,
    clutter: Array | None,
    noise: NoiseBank,
    rng: Generator,
) -> Array:
    """Returns a photo out of focus."""
    return _blurred(_photo(layers, palette, clutter, noise, rng), rng.uniform(1.0, 1.5))


def _dark(
    layers: Sequence[Layer],
    palette: Palette,
    clutter: Array | None,
    noise: NoiseBank,
    rng: Generator,
) -> Array:
    """Returns a photo in little light."""
    picture = _photo(layers, palette, clutter, noise, rng) * np.float32(rng.uniform(0.3, 0.44))
    return picture + 1.5 * rng.standard_normal(picture.shape, dtype=np.float32)


def _bright(
    layers: Sequence[Layer],
    palette: Palette,
    clutter: Array | None,
    noise: NoiseBank,
    rng: Generator,
) -> Array:
    """Returns a photo in too much light."""
    keep = np.float32(rng.uniform(0.26, 0.4))
    return 255 * (1 - keep) + keep * _photo(layers, palette, clutter, noise, rng)


def _black_and_white(
    layers: Sequence[Layer],
    palette: Palette,
    clutter: Array | None,
    noise: NoiseBank,
    rng: Generator,
) -> Array:
    """Returns a photo without colour."""
    picture = _photo(layers, palette, clutter, noise, rng)
    return np.repeat(picture.mean(axis=0, keepdims=True), 3, axis=0)


def _sculpture(
    layers: Sequence[Layer],
    palette: Palette,
    clutter: Array | None,
    noise: NoiseBank,
    rng: Generator,
) -> Array:
    """Returns a relief in stone, lit from the upper left, or the lower right if inverted."""
    height = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.float32)
    for layer in layers:
        if layer.hides is not None:
            height *= 1 - layer.hides
        height = np.maximum(height, layer.strength**2 * layer.cover)
    height = _blurred(height, rng.uniform(0.6, 0.9))
    down, across = np.gradient(height)
    relief = (down + across) * (-1 if palette.inverted else 1)
    white = palette.ground.min() == 255
    level = rng.uniform(190, 215) if white else rng.uniform(110, 165)
    stone = (level + rng.uniform(-9, 9, size=(3, 1, 1))).astype(np.float32)
    picture: Array = stone - np.float32(rng.uniform(180, 240)) * relief + 30 * height
    if palette.texture:
        picture = picture + 5 * noise.take(20, rng)[:1] + 3 * noise.take(6, rng)[:1]
    if clutter is not None:
        picture = picture * (1 - 0.5 * clutter)
    return picture.astype(np.float32)


def _outline(cover: Array) -> Array:
    """Returns a coverage's edge, the outermost pixel of what is covered."""
    padded = np.pad(cover, 1, mode="edge")
    size = len(cover)
    low = np.minimum.reduce([padded[start : start + size] for start in range(3)])
    return cover - np.minimum.reduce([low[:, start : start + size] for start in range(3)])


def _blurred(picture: Array, sigma: float) -> Array:
    """Returns a picture (…, height, width) blurred by a Gaussian of `sigma` pixels."""
    along = np.arange(IMAGE_SIZE, dtype=np.float32)
    kernel = np.exp((along[:, None] - along) ** 2 * np.float32(-0.5 / sigma**2))
    kernel /= kernel.sum(axis=1, keepdims=True)
    return kernel @ picture @ kernel.T


_Painter = Callable[[Sequence[Layer], Palette, "Array | None", NoiseBank, Generator], Array]
_PAINTERS: dict[str, _Painter] = {
    "photo": _photo,
    "sketch": _sketch,
    "painting": _painting,
    "pixelated": _pixelated,
    "blurry": _blurry,
    "dark": _dark,
    "bright": _bright,
    "black and white": _black_and_white,
    "sculpture": _sculpture,
}
