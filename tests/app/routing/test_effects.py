"""Changes to pictures: nothing at zero, what the name says at a hundred."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from app.routing.effects import Effects, apply_effects, pixelate
from mocoop.errors import UserError


@pytest.fixture
def picture():
    """A picture with edges, colours and noise, wider than high."""
    values = np.random.default_rng(0).integers(0, 256, (48, 72, 3), dtype=np.uint8)
    values[10:30, 20:50] = (200, 40, 40)
    return Image.fromarray(values)


def as_array(image):
    return np.asarray(image, dtype=float)


def test_nothing_changes_at_zero(picture):
    changed = apply_effects(picture, Effects())
    assert changed is not picture
    np.testing.assert_array_equal(as_array(changed), as_array(picture))
    assert not Effects().any


@pytest.mark.parametrize("name", ["blur", "pixelate", "darken", "grey", "sketch"])
def test_each_effect_changes_a_copy_of_the_same_size(picture, name):
    before = as_array(picture)
    changed = apply_effects(picture, Effects(**{name: 60}))
    assert changed.size == picture.size
    assert changed.mode == "RGB"
    assert not np.array_equal(as_array(changed), before)
    np.testing.assert_array_equal(as_array(picture), before)


def test_grey_takes_all_colour_away(picture):
    values = as_array(apply_effects(picture, Effects(grey=100)))
    assert np.ptp(values, axis=2).max() <= 1


def test_darken_leaves_a_tenth_of_the_light(picture):
    values = as_array(apply_effects(picture, Effects(darken=100)))
    np.testing.assert_allclose(values, as_array(picture) / 10, atol=1)


def test_blur_takes_detail_away(picture):
    values = as_array(apply_effects(picture, Effects(blur=100)))
    assert values.std() < as_array(picture).std() / 2


@pytest.mark.parametrize("amount", [1, 50, 100])
def test_blocks_are_of_one_colour(amount):
    ramp = Image.fromarray(np.tile(np.arange(240, dtype=np.uint8), (240, 1))).convert("RGB")
    colours = len(np.unique(as_array(pixelate(ramp, amount))[0, :, 0]))
    assert colours == round(64 * (6 / 64) ** (amount / 100))


def test_a_sketch_of_one_colour_is_white():
    plain = Image.new("RGB", (40, 40), (60, 90, 30))
    assert as_array(apply_effects(plain, Effects(sketch=100))).min() >= 250


def test_tiny_pictures_survive_everything():
    everything = Effects(100, 100, 100, 100, 100)
    assert apply_effects(Image.new("RGB", (1, 3)), everything).size == (1, 3)


def test_amounts_out_of_range_are_named():
    with pytest.raises(UserError, match="blur must be from 0 to 100; got 120"):
        Effects(blur=120)
