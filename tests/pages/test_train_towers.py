"""The Train page draws what the chosen settings learn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.common import state
from app.train import tower_words as words
from app.train.setting_words import LABELS
from app.train.tower_parts import learned_parts
from mocoop.methods import METHODS
from mocoop.presets import preset
from tests.support.page_fixtures import open_page

PAGE = "pages/train.py"


def drawing(app):
    """Returns the page's only drawing of the towers."""
    (found,) = [m.value for m in app.markdown if "<svg" in m.value]
    return found


@pytest.mark.parametrize("method", ["mocoop", "maple", "linear-probe", "zero-shot"])
def test_the_drawing_follows_the_method(empty_runs, method):
    app = open_page(PAGE, data="details", method=METHODS[method].label)
    assert not app.exception
    experts = 9 if METHODS[method].is_mixture else 1
    told = learned_parts(preset(method), experts).in_words()
    assert told.replace("'", "&#x27;") in drawing(app)
    assert told in [caption.value for caption in app.caption]


def test_the_drawing_follows_the_settings(empty_runs):
    app = open_page(PAGE, data="details", method=METHODS["vpt"].label)
    assert "blocks 4–6" in drawing(app)
    label = LABELS["vision_depth"]
    (box,) = [number for number in app.number_input if number.label == label]
    box.set_value(6).run()
    assert not app.exception
    assert "in each of blocks 1 to 6" in drawing(app)
    assert "blocks 4–6" not in drawing(app)
    app.selectbox(key=state.METHOD).set_value("zero-shot").run()
    assert words.NOTHING in drawing(app)


def test_coupled_towers_have_one_field_for_the_tokens_of_both(empty_runs):
    """A number of image tokens of its own would be ignored."""
    app = open_page(PAGE, data="details", method=METHODS["maple"].label)
    boxes = {number.label: number for number in app.number_input}
    assert LABELS["vision_prompts"] not in boxes
    boxes[LABELS["learned_tokens"]].set_value(3).run()
    assert not app.exception
    assert not app.error
    said = [caption.value for caption in app.caption]
    three = replace(preset("maple"), learned_tokens=3, vision_prompts=3)
    assert learned_parts(three, 1).in_words() in said
