"""Brightening of dark pictures: which ones change, by how much, and that only the show does."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from app.common import state
from app.common.brightening import brightened
from app.ui import pictures
from mocoop.datasets import load_dataset


def grey(*levels: int) -> Image.Image:
    return Image.fromarray(np.array([levels], np.uint8).repeat(3).reshape(1, -1, 3))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_dark_picture_is_scaled_by_one_factor_until_it_is_bright():
    bright = np.asarray(brightened(grey(0, 20, 40, 80)))[0, :, 0].astype(float)
    factor = 0.95 * 255 / np.percentile([0, 20, 40, 80], 99)
    assert bright == pytest.approx(np.minimum(255, np.array([0, 20, 40, 80]) * factor), abs=1)


@pytest.mark.parametrize("level", [140, 200, 255])
def test_other_pictures_stay_as_they_are(level):
    image = grey(0, 10, level)
    assert brightened(image) is image


def test_black_and_transparent_pictures_do_not_fail():
    assert brightened(grey(0, 0)).getextrema() == ((0, 0),) * 3
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert brightened(clear) is clear
    half = Image.new("RGBA", (2, 2), (40, 40, 40, 128))
    assert brightened(half).getpixel((0, 0))[3] == 128


def test_the_dark_style_is_brightened_and_photos_are_not():
    data = load_dataset("albums")
    for style, changed in (("dark", True), ("photo", False)):
        items = [item for item in data.items("test") if item.style == style][:20]
        images = [data.image(item) for item in items]
        assert [brightened(image) is not image for image in images] == [changed] * 20


def test_the_switch_decides(monkeypatch):
    dark = png(grey(0, 20, 40, 80))
    memory: dict[str, bool] = {}
    monkeypatch.setattr(pictures.st, "session_state", memory)
    assert pictures.to_show(dark) == dark
    memory[state.BRIGHTEN] = True
    assert pictures.to_show(dark) != dark
    light = png(grey(255, 200))
    assert pictures.to_show(light) == light
