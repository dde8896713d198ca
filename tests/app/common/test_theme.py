"""Expert colours: apart for every eye, and the same for the same name."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from app.common.theme import EXPERT_COLOURS, expert_colours
from mocoop.datasets.builtin_cards import RULES
from mocoop.world.captions import scene_templates
from tests.support.colour_difference import ciede2000

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
EYES = {
    "normal": np.eye(3),
    "red-blind": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "green-blind": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "blue-blind": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def linear(colour: str) -> np.ndarray:
    """Returns the linear RGB of a hex colour."""
    part = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Returns CIE L*a*b* (D65) of linear RGB."""
    xyz = TO_XYZ @ rgb / [0.95047, 1.0, 1.08883]
    bent = np.where(xyz > 0.008856, np.cbrt(np.clip(xyz, 0, None)), 7.787 * xyz + 16 / 116)
    return np.array([116 * bent[1] - 16, 500 * (bent[0] - bent[1]), 200 * (bent[1] - bent[2])])


# Pairs with their difference from Sharma, Wu and Dalal (2005), table 1.
@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (58, 24, 15), 19.4535),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_measure_is_the_published_one(first, second, difference):
    assert ciede2000(np.array(first), np.array(second)) == pytest.approx(difference, abs=1e-4)


@pytest.mark.parametrize("eye", EYES)
def test_any_two_colours_are_apart(eye):
    seen = [lab(np.clip(EYES[eye] @ linear(colour), 0, 1)) for colour in EXPERT_COLOURS]
    nearest = min(ciede2000(a, b) for a, b in itertools.combinations(seen, 2))
    assert nearest > 11  # where about 1 can just be told apart


@pytest.mark.parametrize("ground", ["#ffffff", "#12161c"])
@pytest.mark.parametrize("eye", EYES)
def test_colours_are_apart_from_the_page(eye, ground):
    page = lab(linear(ground))
    seen = [lab(np.clip(EYES[eye] @ linear(colour), 0, 1)) for colour in EXPERT_COLOURS]
    assert min(ciede2000(page, colour) for colour in seen) > 17


@pytest.mark.parametrize(("ground", "least"), [("#ffffff", 2), ("#12161c", 3)])
def test_colours_show_on_a_light_and_a_dark_page(ground, least):
    def luminance(colour: str) -> float:
        return float(TO_XYZ[1] @ linear(colour))

    for colour in EXPERT_COLOURS:  # twelve that are apart cannot all reach 3 on both
        low, high = sorted([luminance(colour), luminance(ground)])
        assert (high + 0.05) / (low + 0.05) > least


def test_a_name_has_its_colour_in_every_run():
    for rule in RULES.values():
        names = (*rule.group_roles, *rule.group_styles)
        assert len(set(expert_colours(names).values())) == len(names) <= 12
    whole = expert_colours(scene_templates(("large",)).groups)
    part = expert_colours(["sketch", "my own", "photo"])
    assert part["sketch"] == whole["sketch"]
    assert part["photo"] == whole["photo"]
    assert len(set(part.values())) == 3


def test_more_experts_than_colours_and_names_of_one_place():
    many = expert_colours([f"expert {number}" for number in range(30)])
    assert len(many) == 30
    assert set(many.values()) == set(EXPERT_COLOURS)
    both = expert_colours(["small", "low resolution", "pixelated"])
    assert len(set(both.values())) == 3
