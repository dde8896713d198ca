"""Scenes: the same from the same seed, in every role, style and ground, and told what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from mocoop.errors import UserError
from mocoop.world.layers import GROUNDS
from mocoop.world.roles import BACK_TO_FRONT, IMAGE_SIZE, LAYOUTS, ROLES, random_layout, spots
from mocoop.world.scenes import EASY, HARD, Painter, Scene, as_image, contact_sheet, widened
from mocoop.world.styles import STYLES
from mocoop.world.things import find_things

CAT, KEY, SUN = find_things(("cat", "key", "sun"))


@pytest.fixture(scope="module")
def painter():
    return Painter()


def drawn(painter, scene, seed=0, difficulty=EASY):
    return painter.draw(scene, difficulty, np.random.default_rng(seed))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("difficulty", [EASY, HARD], ids=["easy", "hard"])
def test_every_style_on_every_ground(painter, style, ground, difficulty):
    scene = Scene({"large": CAT, "small": KEY, "many": SUN}, style, ground)
    first, again = (drawn(painter, scene, 3, difficulty) for _ in range(2))
    assert first.shape == (3, IMAGE_SIZE, IMAGE_SIZE)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, drawn(painter, scene, 4, difficulty))
    assert np.array_equal(first, drawn(Painter(), scene, 3, difficulty))


@pytest.mark.parametrize("role", ROLES)
def test_every_role_alone(painter, role):
    picture = drawn(painter, Scene({role: CAT}, "photo", "plain")).astype(float)
    ground = np.median(picture[:, :2, :2], axis=(1, 2)) if role != "cropped" else None
    assert picture.std() > 3
    if role in ("left", "right"):
        differs = np.abs(picture - ground[:, None, None]).max(axis=0) > 20
        columns = np.flatnonzero(differs.any(axis=0))
        middle = IMAGE_SIZE / 2
        assert columns.max() < middle + 3 if role == "left" else columns.min() > middle - 3


def test_a_white_ground_is_white_and_icons_on_it_dark(painter):
    pictures = [drawn(painter, Scene({"large": CAT}, "photo", "white"), seed) for seed in range(8)]
    for picture in pictures:
        assert (picture[:, :3, :3] == 255).all()
        assert picture.min() < 150


def test_layouts_hold_known_roles_and_every_role():
    assert {role for layout in LAYOUTS for role in layout} == set(ROLES)
    assert set(BACK_TO_FRONT) == set(ROLES)
    rng = np.random.default_rng(0)
    assert {random_layout(rng) for _ in range(500)} == set(LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_things_stand_inside_and_apart(layout):
    for seed in range(20):
        found = spots(layout, 1.0, np.random.default_rng(seed))
        assert set(found) == set(layout) - {"many"}
        for role, spot in found.items():
            if role == "cropped":
                assert spot.size > IMAGE_SIZE
                continue
            assert spot.size / 2 - 3 <= spot.x <= IMAGE_SIZE - spot.size / 2 + 3
            assert spot.size / 2 - 3 <= spot.y <= IMAGE_SIZE - spot.size / 2 + 3
        if "left" in found:
            assert found["left"].x + 10 < found["right"].x


@pytest.mark.parametrize(
    ("things", "style", "ground", "message"),
    [
        ({"tiny": CAT}, "photo", "white", "Unknown role 'tiny'.*large"),
        ({"large": CAT}, "poto", "white", "Unknown style 'poto'.*Did you mean 'photo'"),
        ({"large": CAT}, "photo", "green", "Unknown ground 'green'.*textured"),
    ],
)
def test_what_a_scene_cannot_be(things, style, ground, message):
    with pytest.raises(UserError, match=message):
        Scene(things, style, ground)


def test_widened_by_the_slow_way():
    rng = np.random.default_rng(1)
    cover = rng.random((9, 9)).astype(np.float32)
    slow = np.zeros_like(cover)
    for row in range(9):
        for column in range(9):
            near = cover[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
            slow[row, column] = near.max()
    assert np.array_equal(widened(cover, 2), slow)


def test_contact_sheet(painter):
    pictures = [drawn(painter, Scene({"large": CAT}, "photo"), seed) for seed in range(3)]
    sheet = contact_sheet(pictures, 2)
    assert sheet.size == (2 * IMAGE_SIZE, 2 * IMAGE_SIZE)
    assert as_image(pictures[0]).tobytes() == sheet.crop((0, 0, 64, 64)).tobytes()
