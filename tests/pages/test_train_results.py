"""Train: results with intervals, three seeds, and settings that overfit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from app.common import state
from app.jobs import trainings
from app.train import panel_words, words
from app.train.onward import comparable
from app.train.settings import overfitting
from mocoop.evaluation.paired import p_in_words, pair_test_of_counts
from mocoop.features.cache import WHERE_TO_LEAVE_OUT
from mocoop.presets import preset
from mocoop.runs.writer import queue_run
from tests.pages.test_train import PAGE, captions, field, start, started
from tests.support.page_fixtures import open_page

__all__ = ["started"]


def markdown(app) -> str:
    return "\n".join(text.value for text in app.markdown)


def infos(app) -> str:
    return "\n".join(info.value for info in app.info)


def change_results(run, **changes):
    """Writes other results of the trained half into a run's folder."""
    path = run.path / "results.json"
    results = json.loads(path.read_text())
    part = {name: value for name, value in (results["base"] | changes).items() if value != ()}
    path.write_text(json.dumps(results | {"base": part}))


def test_accuracies_have_intervals_and_a_paired_test(one_run):
    app = open_page(PAGE)
    assert not app.exception
    for half, label in (("base", "Base classes"), ("new", "New classes")):
        result = one_run.results()[half]
        test = pair_test_of_counts(**result["against_zero_shot"])
        assert f"{label}: {result['accuracy']:.1f} % [" in markdown(app)
        assert f"on {test.images} images; {p_in_words(test.p_value)}" in markdown(app)
        assert f"Zero-shot: {result['zero_shot']:.1f} %" in markdown(app)
    assert words.HOW_TESTED in captions(app)


def test_noise_has_no_arrow(one_run):
    counts = {"both": 10, "only_first": 2, "only_second": 3, "neither": 6}
    values = {"accuracy": 100 * 12 / 21, "zero_shot": 100 * 13 / 21, "num_images": 21}
    change_results(one_run, **values, against_zero_shot=counts)
    app = open_page(PAGE)
    assert not app.exception
    metric = next(metric for metric in app.metric if metric.label == "Base classes")
    assert metric.delta == "within noise of zero-shot"
    assert metric.proto.color == metric.proto.MetricColor.GRAY
    assert metric.proto.direction == metric.proto.MetricDirection.NONE
    assert "zero-shot**: −4.8 points (" in markdown(app)
    assert "**within noise of zero-shot**" in markdown(app)


@pytest.mark.parametrize(("won", "lost", "colour"), [(40, 5, "GREEN"), (5, 40, "RED")])
def test_a_clear_difference_has_its_arrow_and_colour(one_run, won, lost, colour):
    counts = {"both": 10, "only_first": won, "only_second": lost, "neither": 6}
    values = {"accuracy": 100 * (10 + won) / 61, "zero_shot": 100 * (10 + lost) / 61}
    change_results(one_run, **values, num_images=61, against_zero_shot=counts)
    app = open_page(PAGE)
    metric = next(metric for metric in app.metric if metric.label == "Base classes")
    assert metric.proto.color == getattr(metric.proto.MetricColor, colour)
    way = "UP" if won > lost else "DOWN"
    assert metric.proto.direction == getattr(metric.proto.MetricDirection, way)


def test_a_run_of_before_says_that_nothing_was_tested(one_run):
    change_results(one_run, against_zero_shot=())
    app = open_page(PAGE)
    assert not app.exception
    assert words.NOT_TESTED in captions(app)


def test_three_seeds_are_queued(started):
    app = open_page(PAGE, seed="9")
    app.button(key="three seeds").click().run()
    assert not app.exception
    assert [config.seed for config in started] == [1, 2, 3]
    assert {replace(config, seed=1) for config in started} == {preset("mocoop")}


def test_three_finished_seeds_are_a_mean_with_its_spread(one_run, empty_runs):
    config = one_run.setup().config
    for seed in (1, 2, 3):
        path = empty_runs / f"seed-{seed}"
        if seed != config.seed:
            shutil.copytree(one_run.path, path)
        else:
            path = one_run.path
        asked = replace(config, seed=seed).to_dict()
        (path / trainings.REQUEST).write_text(json.dumps(asked))
    app = open_page(PAGE)
    assert not app.exception
    base = one_run.results()["base"]["accuracy"]
    (told,) = [info.value for info in app.info if "Mean over seeds" in info.value]
    assert f"base classes **{base:.1f} ± 0.0 %**" in told


def test_one_button_fills_in_settings_that_overfit(started):
    app = open_page(PAGE, data="details", shots="4", seed="5")
    field(app, "number_input", "Epochs").set_value(3).run()
    app.button(key="overfit").click().run()
    assert not app.exception
    assert not app.warning
    assert app.selectbox(key=state.DATA).value == "albums"
    assert words.WATCH_OVERFITTING in infos(app)
    start(app)
    assert started == [overfitting()]
    field(app, "number_input", "Epochs").set_value(3).run()
    assert words.WATCH_OVERFITTING not in infos(app)
    app.button(key="overfit").click().run()
    assert words.WATCH_OVERFITTING in infos(app)


def test_what_overfitting_settings_did_is_told_at_the_end(one_run):
    """It is worded as measured, with whatever seed."""
    asked = replace(overfitting(), seed=3).to_dict()
    (one_run.path / trainings.REQUEST).write_text(json.dumps(asked))
    app = open_page(PAGE)
    assert not app.exception
    (told,) = [info.value for info in app.info if "What came out" in info.value]
    for half, label in (("base", "Base classes"), ("new", "New classes")):
        test = pair_test_of_counts(**one_run.results()[half]["against_zero_shot"])
        assert f"{label}: {words.verdict(test)}" in told


@pytest.mark.parametrize("method", ["coop", "mocoop"])
def test_time_stands_beside_the_buttons(started, method):
    app = open_page(PAGE, method=method)
    assert not app.exception
    assert len([text for text in app.caption if text.value.startswith("about ")]) == 2


def test_a_run_without_test_images_says_so(one_run):
    path = one_run.path / "results.json"
    results = json.loads(path.read_text())
    path.write_text(json.dumps({"training_seconds": results["training_seconds"]}))
    app = open_page(PAGE)
    assert not app.exception
    assert words.NO_TEST_IMAGES in [warning.value for warning in app.warning]
    assert words.HOW_SURE not in [expander.label for expander in app.expander]


def test_runs_on_the_same_images_and_classes_are_compared():
    own = preset("mocoop", data="details")
    base = replace(preset("coop", data="details"), classes="base")
    finished = {
        "mine": own,
        "other half": base,
        "same": preset("coop", data="details"),
        "elsewhere": preset("coop", data="albums"),
    }
    assert comparable("mine", finished) == ["mine", "same"]
    assert comparable("elsewhere", finished) == ["elsewhere"]
    many = {f"run {number}": own for number in range(9)}
    assert comparable("run 3", many) == ["run 3", "run 0", "run 1", "run 2", "run 4"]


def test_images_that_cannot_be_read_lead_to_their_check(started, empty_runs):
    run = queue_run(empty_runs / "broken")
    (run.path / trainings.REQUEST).write_text(json.dumps(preset("coop", data="/pets").to_dict()))
    status = json.loads((run.path / "status.json").read_text())
    for where, links in ((WHERE_TO_LEAVE_OUT, 1), ("elsewhere", 0)):
        failed = status | {"state": "failed", "message": f"Leave it out: in the app {where}."}
        (run.path / "status.json").write_text(json.dumps(failed))
        app = open_page(PAGE)
        assert not app.exception
        labels = [link.proto.label for link in app.get("page_link")]
        assert labels.count(panel_words.CHECK_IMAGES) == links
