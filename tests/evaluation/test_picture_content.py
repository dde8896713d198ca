"""Pictures that show nothing: flat ones and noise are found, and no picture of a built-in set."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from mocoop.datasets import load_dataset
from mocoop.datasets.builtin import BUILTIN
from mocoop.evaluation.picture_content import FLAT, NOISE, neighbours_alike, without_content

EVERY = 5  # of the test images; all of them were looked at once, without a false alarm


@pytest.mark.parametrize("side", [32, 64, 100, 300])
@pytest.mark.parametrize("grey", [False, True])
def test_noise_is_found(side, grey):
    rng = np.random.default_rng(side)
    values = rng.integers(0, 256, (side, side, 1 if grey else 3), dtype=np.uint8)
    image = Image.fromarray(np.broadcast_to(values, (side, side, 3)).copy())
    assert without_content(image) == NOISE


@pytest.mark.parametrize("size", [(1, 1), (50, 40), (640, 3)])
def test_one_colour_is_flat(size):
    assert without_content(Image.new("RGB", size, "red")) == FLAT


@pytest.mark.parametrize("name", BUILTIN)
def test_no_false_alarm_on_built_in_pictures(name):
    dataset = load_dataset(name)
    items = dataset.items("test")[::EVERY]
    assert [item.id for item in items if without_content(dataset.image(item))] == []


def test_a_slope_is_wholly_alike():
    slope = np.arange(12.0).reshape(3, 4)
    assert neighbours_alike(slope) == pytest.approx(1.0)
    assert neighbours_alike(np.zeros((3, 3))) == 1.0
    stripes = np.tile([0.0, 1.0], (4, 4))
    assert neighbours_alike(stripes) < 0.1


def test_a_large_picture_takes_little_memory():
    """Of 3 million pixels there is never more than a few bytes each, besides the picture."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((2000, 1500))
    tracemalloc.start()
    assert without_content(image) == ""
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5 * image.width * image.height
