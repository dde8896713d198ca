"""The things of the world: their names, plurals, fields and glyphs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest
from PIL import Image

from mocoop.errors import UserError
from mocoop.world.fonts import MASK_SIZES, FontBook, Mask, icon_character, icon_font
from mocoop.world.things import (
    ICONS,
    digits,
    every_thing,
    everyday,
    faces,
    find_things,
    pictograph_glyphs,
    symbols,
)


def test_there_are_many_things_in_fields():
    things = everyday()
    assert len(things) >= 120
    assert len({thing.field for thing in things}) == 8
    assert len(faces()) >= 20
    assert len(digits()) == 10
    names = [thing.name for thing in every_thing()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "plural"),
    [
        ("cat", "cats"),
        ("cherry", "cherries"),
        ("mouse", "mice"),
        ("fish", "fish"),
        ("bus", "buses"),
        ("leaf", "leaves"),
        ("watch", "watches"),
        ("bread", "slices of bread"),
        ("fleur de lis", "fleurs de lis"),
        ("face with mask", "faces with mask"),
        ("six", "sixes"),
    ],
)
def test_plurals(name, plural):
    assert find_things((name,))[0].plural == plural


def test_every_glyph_is_there():
    book = FontBook()
    seen = {}
    for thing in every_thing():
        for glyph in thing.glyphs:
            mask = book.mask(glyph)
            assert tuple(copy.width for copy in mask.copies) == MASK_SIZES
            seen.setdefault(mask.copies[0].tobytes(), set()).add(thing.name)
    # A font draws the same box for every character that it lacks.
    assert all(len(names) == 1 for names in seen.values())


def test_pictographs_have_names_of_the_world():
    known = {thing.name for thing in every_thing()}
    assert set(pictograph_glyphs()) <= known
    assert {thing.name for thing in symbols()} <= set(pictograph_glyphs())


def test_unknown_thing_is_told_with_the_nearest():
    with pytest.raises(UserError, match=r"Unknown thing 'giraffe'.*expected one of"):
        find_things(("giraffe",))


def test_icon_font_is_checked():
    assert icon_font().is_file()
    with pytest.raises(UserError, match=r"Expected fonticon.*7\.2\.96, got 6\.0.*pip install"):
        icon_font(lambda name: "6.0")

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    with pytest.raises(UserError, match=r"need the icon font.*pip install fonticon"):
        icon_font(missing)


def test_unknown_icon_is_told_in_short():
    with pytest.raises(UserError, match=r"^Unknown icon 'girafe'\.$"):
        icon_character("girafe")
    with pytest.raises(UserError, match="Unknown icon"):
        FontBook().mask((ICONS, "no such icon"))


def test_masks_need_a_shape():
    with pytest.raises(UserError, match="at least one pixel"):
        Mask.of(Image.new("L", (8, 8), 0))


def test_mask_of_the_next_size():
    mask = FontBook().mask(everyday()[0].glyphs[0])
    assert mask.at(20).width == 24
    assert mask.at(24).width == 24
    assert mask.at(500).width == 128
