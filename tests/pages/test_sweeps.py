"""Sweeps on the Compare page: their runs, how far they are, and what was chosen."""

from __future__ import annotations

import pytest

from app.compare import view, words
from mocoop.runs.paths import SWEEPS
from mocoop.sweeps.journal import Journal, Progress
from mocoop.sweeps.plan import Halving, Sweep
from mocoop.sweeps.training import Reached
from tests.support.compare_example import copy_run
from tests.support.page_fixtures import open_page

PAGE = "pages/compare.py"
SWEEP = Sweep(
    ("details",),
    ("mocoop",),
    seeds=(1,),
    settings={"epochs": 4},
    grid={"learning_rate": (0.1, 0.2)},
    halving=Halving(1, 2),
)
FIRST, SECOND = (candidate.words for candidate in SWEEP.candidates())


def texts(elements):
    return " ".join(str(getattr(element, "value", element)) for element in elements)


@pytest.fixture
def journal(empty_runs):
    """A sweep of two candidates after its first rung, which no command runs."""
    made = Journal(empty_runs / SWEEPS / "rates")
    made.begin(SWEEP, 7)
    made.add_run("one", 1, 1, Reached(50.0, 1.0))
    made.add_run("two", 1, 1, Reached(60.0, 1.0))
    made.add_decision(1, {FIRST: 50.0, SECOND: 60.0}, [SECOND])
    return made


def test_a_stopped_sweep_says_how_to_go_on(journal):
    app = open_page(PAGE)
    assert not app.exception
    said = texts(progress.proto.text for progress in app.get("progress"))
    assert said == (
        f"Sweep rates: 2 of 7 epochs, 1 of 2 candidates left; best so far: {SECOND} (60.0 % on "
        "validation images); it is not running; the same command continues it."
    )


def test_a_running_sweep_tells_the_time_left(journal):
    with journal.alone():
        assert journal.running()
        app = open_page(PAGE)
        said = texts(progress.proto.text for progress in app.get("progress"))
        assert " left." in said
        assert "not running" not in said
    assert not journal.running()


def test_a_finished_sweep_names_the_chosen_one_and_lists_its_runs(journal, finished_run):
    journal.add_run("two", 3, 4, Reached(70.0, 1.0))
    journal.add_decision(4, {SECOND: 70.0}, [SECOND])
    journal.add_chosen(SECOND, ["two"])
    copy_run(finished_run, journal.runs / "two")
    assert list(view.all_runs()) == ["sweeps/rates/two"]
    app = open_page(PAGE)
    assert not app.exception
    assert f"chosen: {SECOND} (70.0 % on validation images)." in texts(app.caption)
    assert app.dataframe[0].value["run"].tolist() == ["sweeps/rates/two"]


def test_a_damaged_sweep_is_left_out(journal):
    (journal.folder / "sweep.json").write_text("{")
    app = open_page(PAGE)
    assert not app.exception
    assert not app.get("progress")


def test_the_line_without_anything_trained():
    progress = Progress("mine", 3, 3, 0, 30)
    assert (
        words.sweep_line(progress, True) == "Sweep mine: 0 of 30 epochs, 3 of 3 candidates left."
    )
