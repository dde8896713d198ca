"""Home: without a run, with one, and with one that no longer fits."""

from __future__ import annotations

import json

import pytest

from app.common import state
from app.common.methods import experts_in_words
from app.home.pipeline import pipeline_svg, pipeline_view
from mocoop.classifiers.saved import open_classifier
from tests.support.page_fixtures import open_page

PAGE = "pages/home.py"


def texts(app) -> str:
    """Returns all texts of a page."""
    return "\n".join(element.value for element in app.markdown)


def test_empty_home_says_what_to_do(empty_runs):
    app = open_page(PAGE)
    assert not app.exception
    assert "no finished run yet" in app.info[0].value
    assert [button.label for button in app.button] == ["Train one now (about 15 s)"]
    assert "pictographs" in texts(app)
    assert "0 finished of 0" in texts(app)


def test_home_names_the_data_sets_that_are_here(empty_runs, monkeypatch, tmp_path):
    """Sets on disk and uploaded ones stand beside the built-in ones."""
    monkeypatch.setenv("MOCOOP_DATA", str(tmp_path))
    for number in range(6):
        (tmp_path / "uploads" / f"mine-{number}" / "cat").mkdir(parents=True)
    app = open_page(PAGE)
    assert not app.exception
    said = "digits, pictographs; mine-0, mine-1, mine-2, mine-3 and 2 more; any folder of images"
    assert said in texts(app)


def test_home_draws_a_test_image_of_the_run(one_run):
    app = open_page(PAGE)
    assert not app.exception
    (label,) = app.selectbox[0].options
    assert label.startswith("details · MoCoOp · 2 shots")
    assert label.endswith(one_run.name)
    first = texts(app)
    assert "<svg" in first
    assert "Mixed answer" in first
    next(button for button in app.button if button.label == "Another image").click().run()
    assert not app.exception
    assert texts(app) != first
    assert app.query_params[state.SAMPLE] == "1"


@pytest.mark.parametrize(("start", "title"), [("Train one", "Train"), ("Explore", "Routing")])
def test_home_buttons_lead_on(one_run, start, title):
    app = open_page(PAGE)
    assert app.query_params[state.RUN] == one_run.name
    next(button for button in app.button if button.label.startswith(start)).click().run()
    assert not app.exception
    assert app.title[0].value == title


def test_run_of_another_clip_is_told_in_words(one_run):
    path = one_run.path / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"backbone_fingerprint": "other"}))
    app = open_page(PAGE)
    assert not app.exception
    assert "other weights" in app.error[0].value


def test_odd_sample_number_in_the_address_is_the_first(one_run):
    odd, first = open_page(PAGE, sample="x"), open_page(PAGE)
    assert not odd.exception
    assert "<svg" in texts(odd)
    assert texts(odd) == texts(first)


def test_pipeline_shows_the_numbers_of_the_image(finished_run, demo_backbone):
    classifier = open_classifier(finished_run)
    feature = classifier.soft[3, 5:6]  # an image that looks just like expert 3's class 5
    routed = classifier.classify(feature)
    routed, starts = experts_in_words(routed, finished_run.setup())
    label = classifier.class_names[5]
    view = pipeline_view(routed, starts, b"png", label, "dark & <odd>", "small")
    assert len(view.chosen) == 2
    assert abs(sum(expert.weight for expert in view.chosen) - 1) < 1e-5
    assert {expert.name for expert in view.chosen} == {name for name, _ in routed.chosen(0)}
    assert abs(sum(share for _, share in view.router) - 1) < 1e-5
    assert view.right == (view.answer[0][0] == label)
    svg = pipeline_svg(view)
    assert "dark &amp; &lt;odd&gt;" in svg
    assert "what counts: the small thing" in svg
    for expert in view.chosen:
        assert view.colours[expert.name] in svg


def test_pipeline_of_one_expert_has_no_router(finished_run):
    classifier = open_classifier(finished_run)
    only = type(classifier)(
        classifier.class_names, ("prompt",), classifier.soft[:1], None, classifier.logit_scale, 1
    )
    routed = only.classify(classifier.soft[0, :1])
    view = pipeline_view(routed, {"prompt": "“a photo of a {}.”"}, b"", "x", None)
    assert view.router == ()
    svg = pipeline_svg(view)
    assert "Router" not in svg
    assert "Mixed" not in svg
    assert "weight 100%" not in svg
    assert "what counts" not in svg
