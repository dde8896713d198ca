"""The nearest settings of the lab that are ready."""

from __future__ import annotations

import pytest

from app.lab.ready import nearest
from mocoop.protocols.lab import LabSettings
from mocoop.protocols.lab_grid import Axes

AXES = Axes(("halves",), (2, 16), (0.0, 0.2, 1.0, 5.0), (0.05, 0.2, 0.8), (1, 2, 3), 40)


@pytest.mark.parametrize(
    ("chosen", "ready"),
    [
        (LabSettings(shots=8), LabSettings(shots=16)),
        (LabSettings(shots=1), LabSettings(shots=2)),
        (LabSettings(text_weight=20.0), LabSettings(text_weight=5.0)),
        (LabSettings(text_weight=0.0, epochs=160), LabSettings(text_weight=0.0)),
    ],
)
def test_the_nearest_is_ready(chosen, ready):
    assert nearest([chosen], AXES) == (ready,)


def test_seeds_that_are_not_ready_give_way_to_those_that_are():
    assert nearest([LabSettings(seed=9)], AXES) == tuple(
        LabSettings(seed=seed) for seed in (1, 2, 3)
    )
    assert nearest([LabSettings(seed=2)], AXES) == (LabSettings(seed=2),)


def test_a_set_that_the_grid_lacks_has_no_nearest():
    assert nearest([LabSettings("digits")], AXES) == ()
