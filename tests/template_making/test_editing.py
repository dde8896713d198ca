"""Groups changed by hand, and the map on which they are shown."""

from __future__ import annotations

import numpy as np
import pytest

from mocoop.errors import UserError
from mocoop.template_making.editing import EditedGroups
from mocoop.template_making.flat_map import TemplateMap

TEXTS = tuple(
    f"a {word} of a {{}}."
    for word in ("dark photo", "dim photo", "black photo", "sketch", "drawing", "etching")
)


@pytest.fixture
def means():
    generator = np.random.default_rng(0)
    centres = np.repeat([[5.0, 0, 0, 0], [0, 5.0, 0, 0]], 3, axis=0)
    return centres + generator.normal(size=(6, 4))


@pytest.fixture
def edited(means):
    groups = {"dark": TEXTS[:3], "drawn": TEXTS[3:]}
    return EditedGroups.of(groups, TEXTS, TemplateMap.of(means).vectors)


def test_changes_can_be_undone_and_keep_every_template(edited):
    moved = edited.moved([0, 1], "drawn")
    assert (len(moved.members["dark"]), len(moved.members["drawn"])) == (1, 5)
    own = moved.vectors[list(moved.members["drawn"])]
    assert (own @ own.mean(axis=0)).argmax() == 0  # the medoid is the first
    assert edited.groups == {"dark": TEXTS[:3], "drawn": TEXTS[3:]}
    assert moved.group_of() == ["drawn", "drawn", "dark", "drawn", "drawn", "drawn"]
    assert list(edited.renamed("dark", " at  night ").members) == ["at night", "drawn"]
    one = edited.merged("drawn", "dark")
    assert list(one.members) == ["dark"]
    halves = one.split("dark")
    assert sorted(map(sorted, halves.members.values())) == [[0, 1, 2], [3, 4, 5]]
    assert next(iter(halves.members)) == "dark"
    assert sorted(map(sorted, edited.again(2).members.values())) == [[0, 1, 2], [3, 4, 5]]
    without = edited.moved([5], "")
    assert without.group_of()[5] == ""
    assert list(edited.moved([0, 1, 2], "new one").members) == ["drawn", "new one"]
    more = edited.added("a {} at night.", edited.vectors[0], "dark")
    assert set(more.groups["dark"]) == {*TEXTS[:3], "a {} at night."}
    assert len(more.added(TEXTS[5], edited.vectors[5], "dark").groups["dark"]) == 5


def test_what_cannot_be_done(edited):
    for change, words in (
        (lambda: edited.moved([], "dark"), "Select templates"),
        (lambda: edited.moved(range(6), ""), "must stay"),
        (lambda: edited.renamed("dark", "drawn"), "Another group is called 'drawn'"),
        (lambda: edited.renamed("dark", " "), "needs a name"),
        (lambda: edited.merged("dark", "dark"), "with itself"),
        (lambda: edited.moved([0], "one").split("one"), "cannot be split"),
    ):
        with pytest.raises(UserError, match=words):
            change()
    alike = EditedGroups.of({"all": TEXTS}, TEXTS, np.zeros((6, 4)))
    with pytest.raises(UserError, match="cannot tell apart"):
        alike.split("all")


def test_a_template_has_its_place_on_the_map(means):
    drawn = TemplateMap.of(means)
    for index, mean in enumerate(means):
        np.testing.assert_allclose(drawn.place(mean), drawn.points[index], atol=1e-12)
    assert 0.5 < drawn.shown <= 1
    assert not TemplateMap.of(means[:1]).points.any()
    assert not drawn.place(means.mean(axis=0)).any()
