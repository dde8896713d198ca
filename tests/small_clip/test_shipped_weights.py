"""The small CLIP that ships: its size, and what it reads of unseen scenes."""

from __future__ import annotations

from statistics import fmean

import pytest

from mocoop.assets import asset
from mocoop.small_clip.evaluation import role_accuracy, scene_interaction
from mocoop.world.roles import ROLES

SCENES = 2  # of each role, style and ground: 54 of each role


@pytest.fixture(scope="module")
def cells(demo_backbone):
    return role_accuracy(demo_backbone.model, SCENES)


def test_it_is_small_on_disk():
    files = [path for path in asset("demo-clip").iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20e6
    assert {"open_clip_config.json", "open_clip_model.safetensors", "README.md"} <= {
        path.name for path in files
    }


@pytest.mark.long
@pytest.mark.parametrize("role", ROLES)
def test_it_reads_every_role_by_its_words_and_not_by_plain_ones(cells, role):
    mine = [cell for cell in cells if cell.role == role]
    by_role, plain = fmean(c.by_role for c in mine), fmean(c.plain for c in mine)
    assert sum(cell.scenes for cell in mine) == 54
    assert by_role >= 85
    assert plain <= by_role / 2


@pytest.mark.long
def test_context_and_name_interact(demo_backbone):
    assert scene_interaction(demo_backbone.model).interaction >= 20
