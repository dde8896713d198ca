"""Names of classes, styles, experts and runs stand in sentences as they are."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from app.compare import words as compare
from app.data import words as data
from app.prompt_space import words as space
from app.routing import looking_words as looking
from app.routing import words as routing
from app.ui import words as ui
from mocoop.presets import preset
from mocoop.results.cells import Block, Table
from mocoop.results.markup import to_markdown
from mocoop.runs.status import FAILED
from mocoop.runs.writer import mark_stopped, queue_run
from mocoop.storage.atomic import write_json
from tests.support.page_fixtures import open_page

ODD = "$5 *bill* :red[r]"
LIVE = re.compile(r"(?<!\\)\$|(?<!\\)\*bill|(?<!\\)(?<!\w):red|(?<!\\)\[r")
"""A formula, emphasis or colour that a browser would draw."""
SENTENCES = {
    "true class": routing.true_class(ODD, ODD),
    "prediction": routing.predicts(None, ODD, ODD, ODD),
    "near image": routing.near(ODD, ODD, 0.5),
    "start": routing.started_from(ODD),
    "two experts": looking.experts_say(ODD),
    "where they differ": looking.differ_told(ODD, (ODD, ODD), 1.0, "middle"),
    "what it needs": looking.answer_told(ODD, 0.5, 0.1, "middle"),
    "images of a class": space.go_to(1, 2, ODD, ODD),
    "first choices": space.first_choice([(ODD, 2)]),
    "test images": space.test_images(2, ODD),
    "found": space.found(ODD, 2),
    "nearest groups": " ".join(
        space.own_group({ODD: {ODD: 0.2, "b": 0.8}, "b": {ODD: 0, "b": 1}})
    ),
    "halves": data.halves([ODD], [ODD, ODD]),
    "many classes": data.halves([ODD] * 5, [ODD] * 5),
    "template": data.zero_shot(ODD),
    "another run": ui.other_run(ODD),
    "a newer run": ui.newer_run(ODD),
    "no run": compare.no_such_run(ODD),
    "runs left out": compare.runs_left_out([ODD], "why"),
}


def test_the_odd_name_would_be_drawn():
    assert len(LIVE.findall(ODD)) == 4


@pytest.mark.parametrize("what", SENTENCES)
def test_names_stand_as_they_are(what):
    text = SENTENCES[what]
    assert "bill" in text
    assert not LIVE.search(text), text


def test_titles_of_tables_hold_no_formula():
    blocks = (Block((), "$y$"),)
    table = Table("pets", "pets cost $5 and $6", "", ("method",), ("$x$",), blocks)
    assert not re.search(r"(?<!\\)\$", to_markdown(table))


def test_a_link_to_no_federation_is_repeated_as_text(empty_runs):
    app = open_page("pages/federated.py", federation=ODD)
    (said,) = app.warning
    assert not LIVE.search(said.value)


def test_a_training_that_stopped_repeats_names_as_text(empty_runs):
    run = queue_run(empty_runs / "odd")
    write_json(run.path / "request.json", replace(preset("coop"), data=f"/{ODD}").to_dict())
    mark_stopped(run, replace(run.status(), state=FAILED, message=f"{ODD}: no such data set."))
    app = open_page("pages/train.py")
    said = [*app.header, *(one for one in app.warning if "no such" in one.value)]
    assert len(said) == 2
    assert not any(re.search(r"(?<!\\)\$|(?<!\\)(?<!\w):red", one.value) for one in said)
