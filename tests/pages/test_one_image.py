"""Runs of one image per class, which leave none to test on, and runs of one expert."""

from __future__ import annotations

import pytest

from app.bench import words as many
from app.common import state
from app.compare import words as compare
from app.routing.words import MANY, MY_FILES, NO_TEST_IMAGES, TRY
from tests.support.app_fixtures import train
from tests.support.image_files import add_files, picture_bytes
from tests.support.page_fixtures import open_page
from tests.support.tiny_data import picture_folder

ROUTING, COMPARE = "pages/routing.py", "pages/compare.py"


@pytest.fixture
def untested(empty_runs, tmp_path):
    add_files(tmp_path / "own", "rose/0.png", "tulip/0.png")
    return train("mocoop", empty_runs / "one", data=str(tmp_path / "own"), shots=1, epochs=1)


def said(app):
    return [element.value for kind in (app.info, app.warning, app.error) for element in kind]


def test_own_pictures_can_be_tried(untested):
    file = ("mine.png", picture_bytes("mine"), "image/png")
    app = open_page(ROUTING, run=untested.name, view=TRY)
    assert not app.exception
    assert said(app) == [NO_TEST_IMAGES]
    assert MY_FILES in app.get("button_group")[0].options
    app.get("file_uploader")[0].set_value([file]).run()
    assert not app.exception
    assert app.get("plotly_chart")
    app = open_page(ROUTING, run=untested.name, view=MANY)
    app.file_uploader(key=state.MANY_UPLOADS).set_value([file]).run()
    next(b for b in app.button if b.label == many.button(1)).click().run()
    assert not app.exception
    assert any("1 picture classified" in caption.value for caption in app.caption)


def test_compare_says_that_nothing_was_tested(untested):
    assert compare.NOTHING_TO_AVERAGE in said(open_page(COMPARE, table=compare.MEANS))


def test_a_mixture_of_one_expert_is_not_told_to_be_no_mixture(empty_runs, tmp_path):
    changes = {"groups": {"photo": ["a photo of a {}."]}, "num_chosen": 1, "shots": 1, "epochs": 1}
    own = picture_folder(tmp_path / "own")
    run = train("mocoop", empty_runs / "one", data=own, **changes)
    (told,) = said(open_page(ROUTING, run=run.name))
    assert "This run has one expert" in told
