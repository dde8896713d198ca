"""The role that is to be seen in each patch, against what single things leave on the picture."""

from __future__ import annotations

import numpy as np
import pytest

from mocoop.world.layers import Layer
from mocoop.world.patches import NOBODY, patch_roles
from mocoop.world.roles import ROLES
from mocoop.world.scenes import EASY, Painter, Scene
from mocoop.world.things import find_things

CAT, KEY = find_things(("cat", "key"))


def layer(role, rows, columns, hides=None):
    cover = np.zeros((64, 64), np.float32)
    cover[rows, columns] = 1
    return Layer(role, cover, hides)


def test_the_thing_in_front_wins():
    behind = layer("many", slice(0, 64), slice(0, 64))
    front = layer("small", slice(0, 8), slice(0, 12))
    grid = patch_roles([behind, front]).reshape(8, 8)
    assert grid[0, 0] == ROLES.index("small")
    assert (grid[1:] == ROLES.index("many")).all()
    assert grid[0, 2] == ROLES.index("many")


def test_what_is_hidden_or_hardly_there_counts_for_nobody():
    hides = np.zeros((64, 64), np.float32)
    hides[:16] = 1
    behind = layer("large", slice(0, 16), slice(0, 64))
    front = layer("small", slice(0, 8), slice(0, 2), hides)  # a quarter of one patch
    grid = patch_roles([behind, front]).reshape(8, 8)
    assert grid[0, 0] == ROLES.index("small")
    assert (grid.ravel()[1:] == NOBODY).all()
    faint = layer("small", slice(0, 1), slice(0, 3))  # 3 of 64 pixels
    assert (patch_roles([faint]) == NOBODY).all()


@pytest.mark.parametrize("role", ROLES)
def test_patches_of_a_drawn_thing_are_where_the_picture_changes(role):
    painter = Painter()
    scene = Scene({role: CAT}, "photo", "plain")
    picture, patches = painter.draw_with_patches(scene, EASY, np.random.default_rng(4))
    assert np.array_equal(picture, painter.draw(scene, EASY, np.random.default_rng(4)))
    grid = patches.reshape(8, 8)
    assert set(np.unique(patches)) <= {NOBODY, ROLES.index(role)}
    cells = picture.astype(float).reshape(3, 8, 8, 8, 8)
    varies = cells.std(axis=(2, 4)).max(axis=0) > 40  # an edge of the thing is in the patch
    assert (grid[varies] == ROLES.index(role)).all()
    assert (grid != NOBODY).any()


def test_patches_say_who_is_where():
    painter = Painter()
    scene = Scene({"left": CAT, "right": KEY}, "dark", "white")
    _, patches = painter.draw_with_patches(scene, EASY, np.random.default_rng(1))
    grid = patches.reshape(8, 8)
    assert not (grid[:, :3] == ROLES.index("right")).any()
    assert not (grid[:, 5:] == ROLES.index("left")).any()
