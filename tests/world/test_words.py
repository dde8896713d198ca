"""Captions and templates, and icons as people upload them."""

from __future__ import annotations

import numpy as np
import pytest

from mocoop.small_clip.icons import OTHER_FONT, icon_file, own_icons
from mocoop.storage.images import open_image
from mocoop.world.captions import (
    MEDIA,
    NOUNS,
    random_caption,
    random_template,
    say,
    scene_templates,
    with_articles,
)
from mocoop.world.roles import ROLES
from mocoop.world.styles import STYLES
from mocoop.world.things import everyday, find_things

CHERRY, CAT = find_things(("cherry", "cat"))


def test_every_role_and_style_has_words():
    assert set(NOUNS) == {*ROLES, None}
    assert set(MEDIA) == {*STYLES, None}
    assert tuple(scene_templates().groups) == (*ROLES, *STYLES)
    assert list(scene_templates(("small",), ("dark",)).groups) == ["small", "dark"]


def test_plurals_and_articles():
    assert say("a pattern of {plural}", CHERRY) == "a pattern of cherries"
    assert say("a photo of many {}.", CHERRY) == "a photo of many cherry."
    assert with_articles("a photo of a owl") == "a photo of an owl"
    assert with_articles("a umbrella, a unicorn") == "an umbrella, a unicorn"


def test_captions_say_what_is_there():
    rng = np.random.default_rng(0)
    for _ in range(200):
        things = {"large": CAT, "many": CHERRY}
        text, (role, style, ground, thing) = random_caption(things, "dark", "white", rng)
        assert thing.name in text or thing.plural in text
        assert role is None or things[role] is thing
        assert (style is not None) == ("dark" in text or "dim" in text)
        assert (ground is not None) == ("white background" in text)
    for role in (*ROLES, None):
        for style in (*STYLES, None):
            assert random_template(role, style, rng)


@pytest.mark.parametrize("transparent", [True, False])
@pytest.mark.parametrize("side", [48, 200])
def test_icons_are_files_that_open_on_white(transparent, side):
    masks = own_icons()
    assert len(masks) == len(everyday())
    image, notes = open_image(icon_file(masks["cat"], side, transparent), "cat.png")
    assert image.size == (side, side)
    assert bool(notes) == transparent
    pixels = np.asarray(image)
    assert (pixels[0] == 255).all()
    assert pixels.min() < 60


def test_things_of_the_other_font_are_things():
    assert set(OTHER_FONT) <= {thing.name for thing in everyday()}
