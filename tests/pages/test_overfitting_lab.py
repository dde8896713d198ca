"""The Overfitting lab: empty, loaded, failing; playing, links, missing trainings, lessons."""

from __future__ import annotations

import shutil

import pytest
import streamlit as st

from app.common import state
from app.jobs import trainings
from app.lab import sliders
from app.lab import view as lab_view
from app.lab.lessons import LESSONS
from app.lab.tabs import EXPERIMENT, LESSON_TAB
from mocoop.assets import asset
from mocoop.protocols.lab import LabSettings
from mocoop.protocols.lab_grid import NUMBERS, TABLE, read_grid
from mocoop.runs.run import default_runs
from mocoop.runs.writer import mark_cancelled, queue_run
from mocoop.training.experiment import run_experiment
from tests.support.page_fixtures import open_page

PAGE = "pages/overfitting_lab.py"


def texts(elements):
    return " ".join(str(element.value) for element in elements)


def button(app, label):
    return next(button for button in app.button if button.label == label)


def numbers(app):
    return app.dataframe[0].value.set_index("method")


@pytest.fixture
def page(empty_runs):
    app = open_page(PAGE)
    assert not app.exception
    return app


def test_loaded_shows_the_last_epoch_of_shipped_trainings(page):
    runs = [read_grid().find("coop", LabSettings(seed=seed)) for seed in (1, 2, 3)]
    run = runs[0]
    shown = numbers(page)
    assert shown.index.tolist() == ["Zero-shot", "CoOp", "LASP", "MoCoOp"]
    mean = sum(float(one.accuracy("new")[-1]) for one in runs) / 3
    assert shown.loc["CoOp", "new"] == pytest.approx(mean)
    assert "mean over seeds 1, 2, 3" in texts(page.markdown)
    assert "at the cost of the new ones" in texts(page.markdown)
    assert "diverged" not in texts(page.warning)
    assert shown.loc["Zero-shot", "base"] == pytest.approx(float(run.accuracy("base")[0]))
    assert len(page.get("plotly_chart")) == 3
    assert "its band is from the lowest to the highest seed" in texts(page.caption)
    assert "Compare drift only within one method" in texts(page.caption)
    assert "for illustration only" in texts(page.caption)
    assert not page.error
    assert not [b for b in page.button if b.label == "Train now"]


def test_a_link_restores_the_view(empty_runs):
    query = {"set": "details", "per_class": "2", "draw": "2", "text_weight": "1", "until": "7"}
    query["rate"] = "0.8"
    app = open_page(PAGE, **query)
    assert not app.exception
    settings = LabSettings("details", 2, 2, 1.0, learning_rate=0.8)
    assert app.slider(key=state.LAB_EPOCH).value == 7
    reached = read_grid().find("lasp", settings).accuracy("new")[7]
    assert numbers(app).loc["LASP", "new"] == pytest.approx(float(reached))


def test_the_rates_are_those_of_the_grid_and_one_is_marked_as_the_methods_own(page):
    slider = page.select_slider(key=state.LAB_RATE)
    assert slider.value == LabSettings().learning_rate
    assert slider.label == "Learning rate (own: 0.2)"
    assert read_grid().axes.learning_rates == sliders.RATES
    page.selectbox(key=state.LAB_SEED).set_value("1").run()
    slow = page.select_slider(key=state.LAB_RATE).set_value(0.05).run()
    run = read_grid().find("coop", LabSettings(learning_rate=0.05))
    assert numbers(slow).loc["CoOp", "new"] == pytest.approx(float(run.accuracy("new")[-1]))


def test_a_training_that_goes_off_is_said_to(empty_runs):
    app = open_page(PAGE, rate="0.8", set="halves", per_class="2")
    assert not app.exception
    assert "MoCoOp, seed 1" in texts(app.warning)
    assert "not judged, because the training of seed 1 diverged" in texts(app.markdown)
    assert "not overfitting" in texts(app.warning)


@pytest.mark.parametrize(
    "query",
    [
        {"per_class": "3"},
        {"text_weight": "7"},
        {"text_weight": "nan"},
        {"length": "77"},
        {"set": "nowhere"},
        {"rate": "0.20000001"},
    ],
    ids=str,
)
def test_a_value_in_the_address_that_no_slider_has_is_the_default(empty_runs, query):
    app = open_page(PAGE, **query)
    assert not app.exception
    assert not app.error
    assert [p for p in app.select_slider if p.value is None] == []
    assert app.select_slider(key=state.LAB_SHOTS).value == LabSettings().shots
    assert app.select_slider(key=state.LAB_WEIGHT).value == LabSettings().text_weight
    assert numbers(app).index.tolist()[0] == "Zero-shot"


@pytest.mark.parametrize("draw", ["-5", "1.5", "x", "4294967296", "9" * 5000])
def test_a_seed_that_is_none_is_told_in_words(empty_runs, draw):
    app = open_page(PAGE, draw=draw)
    assert not app.exception
    assert "whole number from 0 to 4294967295" in texts(app.error)


def test_all_seeds_that_are_missing_are_trained(empty_runs, started):
    app = open_page(PAGE, set="digits", per_class="1", length="40")
    assert not app.exception
    assert "**CoOp, LASP and MoCoOp**" in texts(app.markdown)
    assert "(9 trainings, about" in texts(app.markdown)
    button(app, "Train now").click().run()
    assert sorted(config.seed for config in started) == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_an_unknown_rate_in_the_address_is_the_own_one(empty_runs):
    app = open_page(PAGE, rate="7")
    assert not app.exception
    assert app.select_slider(key=state.LAB_RATE).value == LabSettings().learning_rate


@pytest.mark.parametrize(("until", "shown"), [("999", 40), ("x", 40), ("-3", 40)])
def test_an_odd_epoch_in_the_address_is_the_last(empty_runs, until, shown):
    app = open_page(PAGE, until=until)
    assert not app.exception
    assert app.slider(key=state.LAB_EPOCH).value == shown


def test_step_start_and_slider(page):
    button(page, "To the start").click().run()
    assert not page.exception
    assert page.slider(key=state.LAB_EPOCH).value == 0
    assert numbers(page).loc["CoOp", "new"] == numbers(page).loc["Zero-shot", "new"]
    button(page, "Step").click().run()
    assert page.slider(key=state.LAB_EPOCH).value == 1
    page.slider(key=state.LAB_EPOCH).set_value(40).run()
    assert button(page, "Step").disabled


def test_playing_moves_on_until_it_is_paused_or_over(page):
    page.slider(key=state.LAB_EPOCH).set_value(26).run()
    button(page, "Play").click().run()
    assert not page.exception
    seen = [page.slider(key=state.LAB_SLIDER).value]
    page.run()  # in the browser a clock does this
    seen.append(page.slider(key=state.LAB_SLIDER).value)
    assert seen == sorted(set(seen))
    assert page.slider(key=state.LAB_SLIDER).disabled
    button(page, "Pause").click().run()
    paused = page.slider(key=state.LAB_EPOCH).value
    assert paused >= seen[-1]
    assert page.run().slider(key=state.LAB_EPOCH).value == paused
    button(page, "Play").click().run()
    for _ in range(14):
        page.run()
    assert page.slider(key=state.LAB_EPOCH).value == 40
    assert page.run().slider(key=state.LAB_EPOCH).value == 40
    assert button(page, "Play")
    assert page.session_state[state.LAB_PLAYING] is False
    button(page, "Play").click().run()  # from the end it starts again
    assert page.slider(key=state.LAB_SLIDER).value < 10


def test_playing_never_goes_back_to_what_a_late_browser_sends(page):
    button(page, "To the start").click().run()
    button(page, "Play").click().run()
    page.run()
    shown = page.slider(key=state.LAB_SLIDER).value
    for late in (0, 0, 1):
        page.session_state[state.LAB_SLIDER] = late
        page.run()
        assert page.slider(key=state.LAB_SLIDER).value > shown
        shown = page.slider(key=state.LAB_SLIDER).value


def test_the_epoch_is_left_to_the_slider_until_a_button_moves_it(page):
    """What code writes is sent to the browser with an address that may be out of date."""
    page.select_slider(key=state.LAB_SHOTS).set_value(8).run()
    assert state.LAB_EPOCH not in page.query_params
    button(page, "To the start").click().run()
    assert page.query_params[state.LAB_EPOCH] == "0"
    page.slider(key=state.LAB_EPOCH).set_value(40).run()
    page.select_slider(key=state.LAB_SHOTS).set_value(4).run()
    assert page.slider(key=state.LAB_EPOCH).value == 40


@pytest.fixture
def started(monkeypatch):
    """The settings of trainings that the page wants to start."""
    found = []
    monkeypatch.setattr(trainings, "start_run", found.append)
    return found


def test_what_the_grid_lacks_is_trained_when_asked(empty_runs, started):
    app = open_page(PAGE, text_weight="10", draw="1")
    assert not app.exception
    assert "**LASP and MoCoOp**" in texts(app.markdown)
    # What was drawn stays, with a word about its settings.
    assert numbers(app).index.tolist() == ["Zero-shot", "CoOp", "LASP", "MoCoOp"]
    assert "nearest settings that are ready: 16 images per class" in texts(app.info)
    assert "text weight 5, seed 1" in texts(app.info)
    button(app, "Train now").click().run()
    wanted = LabSettings(text_weight=10.0)
    assert started == [wanted.config("lasp"), wanted.config("mocoop")]
    assert all(config.classes == "base" for config in started)


def test_a_finished_training_is_found_again(empty_runs, monkeypatch):
    monkeypatch.setattr(sliders, "LENGTHS", (2, 40))  # a short training, quickly made
    settings = LabSettings("digits", shots=1, seed=7, epochs=2)
    for _ in run_experiment(settings.config("coop"), default_runs() / "mine"):
        pass
    app = open_page(PAGE, set="digits", per_class="1", draw="7", length="2")
    assert not app.exception
    assert numbers(app).index.tolist() == ["Zero-shot", "CoOp"]
    assert "**LASP and MoCoOp**" in texts(app.markdown)
    results = lab_view.open_run("mine").results()
    assert numbers(app).loc["CoOp", "new"] == pytest.approx(results["new"]["accuracy"], abs=1e-3)


def test_a_training_at_work_shows_its_progress_and_can_be_stopped(empty_runs, monkeypatch):
    config = LabSettings(text_weight=10.0).config("lasp")
    run = queue_run(default_runs() / "waiting")
    lab_view.trainings.write_json(run.path / trainings.REQUEST, config.to_dict())
    app = open_page(PAGE, text_weight="10", draw="1")
    assert not app.exception
    assert "Train now" not in [b.label for b in app.button]
    stopped = []
    monkeypatch.setattr(trainings, "cancel_run", stopped.append)
    button(app, "Cancel").click().run()
    assert stopped == [run]


def test_a_training_that_stopped_says_why(empty_runs, started, monkeypatch):
    run = queue_run(default_runs() / "gone")
    lab_view.trainings.write_json(
        run.path / trainings.REQUEST, LabSettings(text_weight=10.0).config("lasp").to_dict()
    )
    monkeypatch.setattr("mocoop.runs.status.Status.process", lambda status: None)
    mark_cancelled(run)
    app = open_page(PAGE, text_weight="10", draw="1")
    assert not app.exception
    assert "LASP, seed 1 is cancelled: stopped on request" in texts(app.warning)
    button(app, "Train now").click().run()
    assert len(started) == 2
    button(app, "Remove").click().run()
    assert not app.warning
    assert not run.path.exists()


def test_cancelled_trainings_of_the_lab_are_removed(empty_runs, monkeypatch):
    config = LabSettings(text_weight=10.0).config("lasp")
    run = queue_run(default_runs() / "waiting")
    lab_view.trainings.write_json(run.path / trainings.REQUEST, config.to_dict())
    app = open_page(PAGE, text_weight="10", draw="1")

    def cancel(stopped):
        monkeypatch.setattr("mocoop.runs.status.Status.process", lambda status: None)
        mark_cancelled(stopped)

    monkeypatch.setattr(trainings, "cancel_run", cancel)
    button(app, "Cancel").click().run()
    assert not app.exception
    assert not run.path.exists()
    assert not app.warning


def test_a_training_that_another_visitor_cancels_goes_in_silence(empty_runs, monkeypatch):
    """It is removed after the page has found it; the page then finds that it is missing."""
    config = LabSettings(text_weight=10.0).config("lasp")
    run = queue_run(default_runs() / "waiting")
    lab_view.trainings.write_json(run.path / trainings.REQUEST, config.to_dict())
    progress = lab_view._progress

    def cancelled(active):
        shutil.rmtree(run.path, ignore_errors=True)
        progress(active)

    monkeypatch.setattr(lab_view, "_progress", cancelled)
    app = open_page(PAGE, text_weight="10", draw="1")
    assert not app.exception
    assert not app.error
    assert "Train now" in [b.label for b in app.button]


def test_a_step_of_a_slider_keeps_curves_with_a_word(page):
    page.select_slider(key=state.LAB_SHOTS).set_value(8).run()
    assert not page.exception
    assert numbers(page).index.tolist() == ["Zero-shot", "CoOp", "LASP", "MoCoOp"]
    assert "ready: 16 images per class" in texts(page.info)
    assert "Ready at once: 2, 16 images per class" in texts(page.caption)
    page.select_slider(key=state.LAB_SHOTS).set_value(2).run()
    assert not page.info


def test_a_longer_training_than_the_grid_has_is_offered_with_its_time(empty_runs, started):
    app = open_page(PAGE, length="160", draw="1")
    assert not app.exception
    assert "about" in texts(app.markdown)
    button(app, "Train now").click().run()
    assert [config.epochs for config in started] == [160, 160, 160]


@pytest.fixture
def own_assets(tmp_path, monkeypatch):
    """A copy of the grid that a test may damage."""
    folder = tmp_path / "lab"
    shutil.copytree(asset("lab"), folder)
    monkeypatch.setattr("mocoop.protocols.lab_grid.asset", lambda name: folder)
    st.cache_resource.clear()
    st.cache_data.clear()
    return folder


@pytest.mark.parametrize("tab", [EXPERIMENT, LESSON_TAB])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_grid_is_told_in_words(empty_runs, own_assets, tab, damage):
    if damage == "missing":
        shutil.rmtree(own_assets)
    else:
        (own_assets / NUMBERS).write_bytes(b"cut")
    app = open_page(PAGE, lab=tab)
    assert not app.exception
    assert (TABLE if damage == "missing" else "damaged") in texts(app.error)


def test_a_grid_of_another_clip_is_not_shown_as_ours(empty_runs, own_assets):
    path = own_assets / TABLE
    path.write_text(path.read_text().replace('fingerprint": "', 'fingerprint": "0'))
    app = open_page(PAGE)
    assert not app.exception
    assert "**CoOp, LASP and MoCoOp**" in texts(app.markdown)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.key)
def test_lessons_ask_before_they_tell(empty_runs, lesson):
    app = open_page(PAGE, lab=LESSON_TAB, lesson=f"{LESSONS.index(lesson) + 1}. {lesson.title}")
    assert not app.exception
    assert lesson.title in texts(app.header)
    assert button(app, "Show what happened").disabled
    assert not app.get("plotly_chart")
    app.radio[0].set_value(0).run()
    button(app, "Show what happened").click().run()
    assert not app.exception
    right = app.success if app.success else app.warning
    was = lesson.choices[lesson_answer(lesson)][1:]  # its first letter is made small
    assert was in texts(right)
    assert texts(right).startswith("As you predicted: " if app.success else "You predicted: ")
    assert lesson.takeaway(shipped_finals()) in texts(app.info)
    assert app.get("plotly_chart")
    assert app.radio[0].disabled  # what was predicted cannot be changed any more
    assert state.REVEALED not in app.query_params
    assert not [name for name in app.query_params if name.startswith(state.ANSWER)]


def shipped_finals():
    from app.lab.tables import final_table

    return final_table(read_grid())


def lesson_answer(lesson):
    return lesson.answer(shipped_finals())


def test_the_animation_stops_when_the_lessons_are_opened(page):
    button(page, "Play").click().run()
    page.session_state[state.LAB_TAB] = LESSON_TAB
    page.run()
    assert not page.exception
    assert page.session_state[state.LAB_PLAYING] is False


def test_a_link_of_before_opens_the_lessons_and_tells_no_answer(empty_runs):
    app = open_page(PAGE, lab="Three lessons", revealed="prompts", answer_prompts="0")
    assert not app.exception
    assert button(app, "Show what happened").disabled
    assert "revealed" not in app.query_params
    assert "answer_prompts" not in app.query_params


def answered(app, choice):
    app.radio[0].set_value(choice).run()
    button(app, "Show what happened").click().run()
    assert not app.exception


def test_coming_back_to_a_lesson_keeps_choice_and_answer(empty_runs):
    app = open_page(PAGE, lab=LESSON_TAB)
    answered(app, 1)
    app.segmented_control(key=state.LESSON).set_value(LESSONS[1].key).run()
    app.radio[0].set_value(2).run()
    app.segmented_control(key=state.LESSON).set_value(LESSONS[0].key).run()
    assert not app.exception
    assert app.radio[0].value == 1
    assert LESSONS[0].takeaway(shipped_finals()) in texts(app.info)
    app.segmented_control(key=state.LESSON).set_value(LESSONS[1].key).run()
    assert app.radio[0].value == 2
    assert not button(app, "Show what happened").disabled


def test_a_second_try_is_not_counted(empty_runs):
    app = open_page(PAGE, lab=LESSON_TAB)
    right = lesson_answer(LESSONS[0])
    answered(app, (right + 1) % 3)
    button(app, "Try again").click().run()
    assert app.radio[0].value is None
    assert button(app, "Show what happened").disabled
    answered(app, right)
    assert not app.success
    assert "not counted" in texts(app.info)
    assert app.session_state[state.PREDICTED] == {"prompts": (right + 1) % 3}


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.key)
def test_lessons_show_pictures_of_their_sets(empty_runs, lesson):
    app = open_page(PAGE, lab=LESSON_TAB, lesson=f"{LESSONS.index(lesson) + 1}. {lesson.title}")
    said = ("counts", "the only thing")
    captions = [c.value for c in app.caption if any(words in c.value for words in said)]
    assert len(captions) == 3 * len(lesson.data)
    if "halves" in lesson.data:
        assert any("sketch" in text and "the small thing" in text for text in captions)
    assert not app.exception


def test_after_the_last_lesson_predictions_are_counted(empty_runs):
    app = open_page(PAGE, lab=LESSON_TAB)
    expected = 0
    for place, lesson in enumerate(LESSONS):
        app.radio[0].set_value(0).run()
        expected += lesson_answer(lesson) == 0
        button(app, "Show what happened").click().run()
        assert not app.exception
        if place + 1 < len(LESSONS):
            button(app, f"Next: {LESSONS[place + 1].title}").click().run()
    assert f"Correct predictions: {expected} of {len(LESSONS)}" in texts(app.markdown)
    button(app, EXPERIMENT).click().run()
    assert not app.exception
    assert numbers(app).index.tolist()[0] == "Zero-shot"
