"""The story on Home: the choice of its picture and of its runs, and its sentences."""

from __future__ import annotations

import json
import shutil
from typing import Any

import msgspec
import pytest

from app.home import story, words
from app.home.shipped_story import ShippedStory, computed_story, ready_story, shipped_story
from app.lab.lessons import LESSONS
from app.lab.tabs import FIRST_LESSON
from mocoop.datasets.base import Item
from mocoop.datasets.builtin import SceneItem
from mocoop.runs.run import Run, shipped_runs

NAMES = ("bee", "key", "bus")
THINGS = (("large", "bee"), ("small", "key"))


def scene(number: int, style: str = "sketch", label: int = 1) -> SceneItem:
    return SceneItem(f"test/{number}", label, style, "small", THINGS)


def choose(said: dict[str, tuple[str, ...]], *items: Item) -> Item | None:
    """Returns the chosen picture; `said` holds id → predictions."""
    return story.choose_picture(items, lambda item: said[item.id], NAMES)


@pytest.mark.parametrize(
    ("predicted", "only"),
    [
        (("bee", "bee", "key"), True),
        (("bee", "bus", "key"), True),
        (("key", "bee", "key"), False),
        (("bee", "key", "key"), False),
        (("bee", "bee", "bee"), False),
        (("", "", "key"), True),
    ],
)
def test_only_the_last_is_right(predicted, only):
    assert story.only_last_is_right(predicted, "key") == only


def test_the_first_picture_on_which_only_the_mixture_is_right():
    said = {
        "test/0": ("key", "bee", "key"),
        "test/1": ("bee", "bee", "key"),
        "test/2": ("bee", "bee", "key"),
    }
    chosen = choose(said, *(scene(number) for number in range(3)))
    assert chosen == scene(1)


def test_a_picture_whose_other_things_are_named_is_preferred():
    said = {"test/0": ("bus", "bee", "key"), "test/1": ("bee", "bee", "key")}
    assert choose(said, scene(0), scene(1)) == scene(1)
    assert choose(said, scene(0)) == scene(0)


def test_pictures_that_are_hard_to_see_or_not_understood_are_passed_over():
    unknown = Item("test/1", 1, "sketch")
    assert choose({}, scene(0, "dark"), unknown) is None


def test_without_such_a_picture_there_is_none():
    assert choose({"test/0": ("bee", "bee", "bee")}, scene(0)) is None
    assert choose({}) is None


def test_the_search_ends():
    asked = []

    def says(item):
        asked.append(item)
        return ("bee", "bee", "bee")

    assert story.choose_picture([scene(n) for n in range(500)], says, NAMES) is None
    assert len(asked) == story.MOST_TRIED


def test_the_pair_is_of_shipped_runs():
    mixture, single = (
        Run(shipped_runs() / f"albums-{method}-16shot") for method in ("mocoop", "coop")
    )
    assert story.story_pair(mixture, [mixture, single], Run.setup) == single
    assert story.story_pair(mixture, [mixture], Run.setup) is None
    assert story.story_pair(single, [mixture, single], Run.setup) is None


def test_an_own_mixture_has_a_shipped_partner_but_no_own_or_damaged_one(tmp_path, monkeypatch):
    mixture, single = "albums-mocoop-16shot", "albums-coop-16shot"
    for name in (mixture, single):
        shutil.copytree(shipped_runs() / name, tmp_path / name)
    runs = [Run(tmp_path / mixture), Run(tmp_path / single)]
    assert story.story_pair(runs[0], runs, Run.setup) is None
    both = [*runs, Run(shipped_runs() / single)]
    assert story.story_pair(runs[0], both, Run.setup) == both[-1]
    monkeypatch.setattr("mocoop.runs.run.shipped_runs", lambda: tmp_path)
    assert story.story_pair(runs[0], runs, Run.setup) == runs[1]
    (tmp_path / single / "config.json").write_text("{")
    assert story.story_pair(runs[0], runs, Run.setup) is None


def test_what_a_prediction_names():
    assert story.named_in_words(scene(0), "bee") == "names the large thing"
    assert story.named_in_words(scene(0), "bus") == "names a thing that is not there"


def test_how_often_a_run_is_right():
    assert words.how_often_right({}) == ""
    whole = {"all": {"accuracy": 79.7}, "base": {"accuracy": 1.0}}
    assert words.how_often_right(whole) == "right on 80 % of the test images"
    halves = {"base": {"accuracy": 90.0}, "new": {"accuracy": 40.0}}
    assert words.how_often_right(halves) == (
        "right on 90 % of the test images of the base classes and "
        "40 % of the test images of the new classes"
    )


def test_a_wrong_prediction_in_words():
    said = words.wrong("CoOp", "a*b", "key", "right on 29 % of the test images")
    assert said == (
        "Here CoOp is wrong. It predicts **a\\*b**, but the true class is **key**. "
        "It is right on 29 % of the test images."
    )
    assert words.wrong("CoOp", "bee", "key", "").endswith("**key**.")


def test_the_button_leads_to_the_first_lesson():
    assert f"1. {LESSONS[0].title}" == FIRST_LESSON


def test_the_shipped_story_is_what_the_shipped_runs_tell():
    shipped, now = shipped_story(), computed_story()
    assert plain(shipped) == about(plain(now))


def plain(story: ShippedStory) -> Any:
    """Returns a story as plain values."""
    return json.loads(msgspec.json.encode(story))


def about(value: Any) -> Any:
    """Returns plain values that equal those whose numbers another processor rounds differently."""
    if isinstance(value, dict):
        return {key: about(one) for key, one in value.items()}
    if isinstance(value, list):
        return [about(one) for one in value]
    return pytest.approx(value, abs=1e-4) if isinstance(value, float) else value


def test_other_runs_have_no_shipped_story(tmp_path):
    story = shipped_story()
    run, single = (Run(shipped_runs() / name) for name in (story.mixture, story.single))
    assert ready_story(run, single) is story.told
    assert ready_story(run, run) is None
    own = Run(tmp_path / story.mixture)
    assert ready_story(own, single) is None
