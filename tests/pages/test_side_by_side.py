"""Compare, side by side: runs of one data set; runs that are at work, gone or of other data."""

from __future__ import annotations

import shutil

import pytest

from app.caches import answers as answer_caches
from app.common import state
from app.common.words import BESIDE
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.runs.paths import PROTOCOL
from mocoop.runs.writer import queue_run
from mocoop.storage.atomic import read_tensors, write_tensors
from tests.support.compare_example import copy_run
from tests.support.page_fixtures import open_page

PAGE = "pages/compare.py"
OTHER = METHODS["mocoop-all"].label


def texts(elements):
    """Returns what elements say, without the backslashes of Markdown."""
    return " ".join(str(element.value) for element in elements).replace("\\", "")


def beside(*runs, **query):
    app = open_page(PAGE, table=BESIDE, runs=list(runs), **query)
    assert not app.exception
    return app


@pytest.fixture
def two(one_run, empty_runs):
    """A finished run, and one whose prompts are another class's: it is wrong everywhere."""
    changes = METHODS["mocoop-all"].settings | {"method": "mocoop-all"}  # of the same shapes
    second = copy_run(one_run, empty_runs / "second", **changes)
    path = second.path / "features.safetensors"
    turned = {
        name: value.roll(1, dims=-2) if name.startswith("soft/") else value
        for name, value in read_tensors(path).items()
    }
    write_tensors(path, turned)
    return one_run.name, "second"


def test_nothing_selected_says_what_to_do(one_run):
    app = beside()
    assert "Select one run or more" in texts(app.info)


def test_runs_are_selected_on_the_tab_itself(one_run):
    app = beside()
    app.multiselect(key=state.PICKED_HERE).set_value([one_run.name]).run()
    assert not app.exception
    assert app.query_params[state.PICKED] == one_run.name
    assert "**Accuracy** on the same 288 images" in texts(app.markdown)


def test_one_run_stands_beside_zero_shot(one_run):
    app = beside(one_run.name)
    assert "**Accuracy** on the same 288 images" in texts(app.markdown)
    assert "MoCoOp is right on" in texts(app.markdown)
    assert "on which Zero-shot is wrong" in texts(app.markdown)
    assert len(app.get("plotly_chart")) == 1


def test_two_runs_are_compared_image_by_image(two):
    app = beside(*two)
    agree = next(e.value for e in app.dataframe if "1. MoCoOp" in e.value.index)
    assert list(agree.index) == ["1. MoCoOp", f"2. {OTHER}", "3. Zero-shot"]
    assert list(agree.columns) == ["1", "2", "3"]
    said = texts(app.markdown)
    assert "p < 0.001" in said
    assert "MoCoOp is better" in said
    cards = " ".join(element.proto.body for element in app.get("html"))
    assert "✓" in cards
    assert "✗" in cards


def test_the_gallery_follows_the_choice(two):
    app = beside(*two)
    shown = app.selectbox(key=state.BESIDE_SHOW)
    assert shown.options[:3] == ["these two disagree", "MoCoOp wins", f"{OTHER} wins"]
    shown.set_value(f"{OTHER} wins").run()
    assert not app.exception
    assert "of 288 images" in texts(app.caption)
    app.selectbox(key=state.BESIDE_FIRST).set_value(OTHER).run()
    assert not app.exception
    assert app.selectbox(key=state.BESIDE_SECOND).options == ["MoCoOp", "Zero-shot"]
    assert "CoOp is right on" in texts(app.markdown)


def test_a_link_restores_the_choices(two):
    app = beside(
        *two,
        beside_first=OTHER,
        beside_second="Zero-shot",
        beside_show=f"{OTHER} wins",
        beside_style="sketch",
        beside_classes_base="new classes",  # Streamlit writes the label
    )
    assert app.selectbox(key=state.BESIDE_FIRST).value == OTHER
    assert app.selectbox(key=state.BESIDE_SECOND).value == "Zero-shot"
    assert app.selectbox(key=state.BESIDE_SHOW).value == f"{OTHER} wins"
    assert app.selectbox(key=state.BESIDE_STYLE).value == "sketch"
    assert "new" in [str(element.value) for element in app.get("button_group")]
    app.selectbox(key=state.BESIDE_SHOW).set_value("all are wrong").run()
    assert not app.exception
    assert app.selectbox(key=state.BESIDE_SHOW).value == "all are wrong"


def test_a_link_of_runs_that_are_gone_shows_the_rest(two):
    app = beside(two[0], "gone", beside_first=OTHER, beside_second="gone", beside_show="x wins")
    assert "There is no run 'gone'" in texts(app.warning)
    assert "MoCoOp is right on" in texts(app.markdown)


def test_the_comparison_has_a_report(two):
    app = beside(*two)
    assert "Report" in {element.label for element in app.get("download_button")}


def test_other_classes(two):
    app = beside(*two)
    control = next(e for e in app.get("button_group") if "base" in str(e.value))
    control.set_value("new").run()
    assert not app.exception
    assert "**Accuracy** on the same" in texts(app.markdown)


def test_a_run_of_other_data_is_named_and_the_rest_compared(two, one_run):
    copy_run(one_run, one_run.path.parent / "third", data="faces")
    app = beside(*two, "third")
    said = texts(app.warning)
    assert "third was trained on faces, not on details: there are no common test images" in said
    assert "MoCoOp is better" in texts(app.markdown)


def test_runs_at_work_or_gone_are_named_and_the_rest_compared(two, empty_runs):
    queue_run(empty_runs / "waiting")
    app = beside(*two, "waiting", "never")
    said = texts(app.warning)
    assert "waiting is queued: it can be compared when it is finished" in said
    assert "There is no run 'never'" in said
    assert "MoCoOp is better" in texts(app.markdown)


def test_a_run_deleted_while_it_is_compared(two, one_run, monkeypatch):
    whole = answer_caches.run_answers

    def deleted_first(run, choice):
        shutil.rmtree(one_run.path.parent / "second", ignore_errors=True)
        return whole(run, choice)

    monkeypatch.setattr(answer_caches, "run_answers", deleted_first)
    app = beside(*two)
    assert "second" in texts(app.warning)
    assert "MoCoOp is right on" in texts(app.markdown)  # against zero-shot
    assert not app.error


def test_a_run_trained_again_while_it_is_compared(two, one_run):
    app = beside(*two)
    assert "MoCoOp is better" in texts(app.markdown)
    again = one_run.path.parent / "second"
    shutil.copy(one_run.path / "features.safetensors", again)
    (again / "status.json").touch()
    app.run()
    assert not app.exception
    assert "no clear difference" in texts(app.markdown)


def test_data_that_changed_take_only_their_run_along(two, monkeypatch):
    whole = answer_caches.run_answers

    def changed(run, choice):
        if run.name == "second":
            raise UserError("Restore the data, or train again.")
        return whole(run, choice)

    monkeypatch.setattr(answer_caches, "run_answers", changed)
    app = beside(*two)
    assert "second: Restore the data" in texts(app.warning)
    assert "MoCoOp is right on" in texts(app.markdown)


def look_buttons(app):
    return [button for button in app.button if button.label.startswith("Look closer")]


@pytest.mark.parametrize(
    ("first", "opened", "beside_it"),
    [("MoCoOp", "details-tiny", "second"), (OTHER, "second", "details-tiny"),
     ("Zero-shot", "details-tiny", "second")],
)  # fmt: skip
def test_an_image_is_opened_on_routing_with_the_first_run(two, first, opened, beside_it):
    names = {"beside_first": first, "beside_second": "MoCoOp" if first != "MoCoOp" else OTHER}
    app = beside(*two, **names, beside_show="any", beside_classes_base="new classes")
    app = look_buttons(app)[1].click().run()
    assert not app.exception
    assert app.title[0].value == "Routing"
    address = app.query_params
    assert address[state.RUN] == opened
    assert address[state.BESIDE] == beside_it
    assert address[state.CLASSES] == "new classes"
    assert address[state.IMAGE] in {item.id for item in load_dataset("details").items("test")}
    assert "new" in [str(element.value) for element in app.get("button_group")]


def test_runs_that_routing_does_not_list_open_no_image(one_run):
    moved = copy_run(one_run, one_run.path.parent / PROTOCOL / "one")
    app = beside(f"protocol/{moved.name}")
    assert "MoCoOp is right on" in texts(app.markdown)
    assert not look_buttons(app)
