"""Home: without a run, with one, and with one that no longer fits."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from app.common import state
from app.common.methods import experts_in_words
from app.home.pipeline import pipeline_svg, pipeline_view
from app.home.words import NBSP
from app.lab.lessons import LESSONS
from mocoop.classifiers.hard import hard_classifier
from mocoop.classifiers.saved import open_classifier
from mocoop.clip.backbone import load_backbone
from mocoop.datasets import load_dataset
from mocoop.features.encode import ImageEncoder
from mocoop.runs.run import open_run
from tests.support.page_fixtures import APP, open_page

PAGE = "pages/home.py"


def texts(app) -> str:
    """Returns all texts of a page."""
    return "\n".join(element.value for element in app.markdown)


def test_empty_home_says_what_to_do(empty_runs):
    app = open_page(PAGE)
    assert not app.exception
    assert "no finished run yet" in app.info[0].value
    assert [button.label for button in app.button] == ["Go to Train"]
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


@pytest.fixture
def shipped(workspace, tmp_path, monkeypatch):
    """The runs that ship with the project, and no other ones."""
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "runs"))
    st.cache_resource.clear()
    st.cache_data.clear()
    return {method: open_run(f"albums-{method}-16shot") for method in ("coop", "mocoop")}


def captions(app) -> str:
    """Returns all captions of a page."""
    return "\n".join(element.value for element in app.caption)


def answers(app) -> list[str]:
    """Returns the texts of the tiles with the methods' answers."""
    return [re.sub("<[^>]+>", " ", element.proto.body) for element in app.get("html")]


def test_home_opens_with_the_story(shipped):
    """What it says is what the classifiers say of the image's features, looked up here anew."""
    app = open_page(PAGE)
    assert not app.exception
    said = texts(app)
    (true,) = re.findall(r"counts, here the \*\*(.+?)\*\*", said)
    ((style, role),) = re.findall(
        r"In a (photo|sketch)\S* .*?the (large|small) thing counts", said
    )
    assert (style, role) in [("photo", "large"), ("sketch", "small")]
    assert f"drawn as: {style}" in captions(app)
    assert f"what counts: the {role} thing" in captions(app)
    data = load_dataset("albums")
    label = data.class_names.index(true)
    clip = load_backbone("demo", "cpu")
    found = []
    for item in data.items("test", [label]):
        if item.style == style:
            feature = ImageEncoder(clip, torch.float32).pictures([data.image(item)])
            routed = open_classifier(shipped["mocoop"]).classify(feature)
            chosen = [f"*{name}* ({100 * weight:.0f}{NBSP}%)" for name, weight in routed.chosen(0)]
            single = open_classifier(shipped["coop"]).classify(feature)
            plain = hard_classifier(clip, data.class_names, [data.templates.zero_shot])
            three = (plain.classify(feature), single, routed)
            best = [one.probabilities[0].max(dim=-1) for one in three]
            if " and ".join(chosen) in said:
                found.append([(data.class_names[b.indices], f"{b.values:.0%}") for b in best])
    (best,) = found
    assert [name == true for name, _ in best] == [False, False, True]
    tiles = answers(app)
    assert [tile.split(":")[0].split()[-1] for tile in tiles] == ["Zero-shot", "CoOp", "MoCoOp"]
    for tile, (name, share) in zip(tiles, best, strict=True):
        assert " ".join(tile.split()).split(": ", 1)[1].startswith(f"{name} {share}")
    verdicts = [re.findall(r"(Right|Wrong): names the", tile) for tile in tiles]
    assert verdicts == [["Wrong"], ["Wrong"], ["Right"]]
    for tile, accuracy in zip(tiles, (30, 30, 79), strict=True):
        assert f"Right on {accuracy}% of the test images" in tile
    assert "Mixed answer" in said
    assert "data:image/png" not in said  # the picture stands above the figure


def test_other_images_of_the_shipped_run_are_judged_too(shipped):
    seen = set()
    for number in range(1, 9):
        app = open_page(PAGE, sample=str(number))
        assert not app.exception
        assert len(answers(app)) == 3
        wrong = "✗" in answers(app)[-1]
        said = texts(app)
        assert ("Here MoCoOp is wrong" in said) == wrong
        assert ("It is right on 79 % of the test images." in said) == wrong
        seen.add(wrong)
    assert seen == {True, False}


def test_every_other_image_is_another_one(shipped):
    """The picture of the story does not come again: the first click showed the same one."""
    app = open_page(PAGE)
    story = texts(app), answers(app)
    (button,) = [button for button in app.button if button.label == "Another image"]
    button.click().run()
    assert app.query_params[state.SAMPLE] == "1"
    assert (texts(app), answers(app)) != story
    assert not [n for n in range(1, 12) if texts(open_page(PAGE, sample=str(n))) == story[0]]


def test_the_story_stays_when_an_own_run_is_newer(shipped, tmp_path):
    """An own mixture on the same data is compared too; by itself Home shows the shipped story."""
    own = tmp_path / "runs" / "mine"
    shutil.copytree(shipped["mocoop"].path, own)
    app = open_page(PAGE)
    assert app.query_params[state.RUN] == "albums-mocoop-16shot"
    assert len(answers(app)) == 3
    app.selectbox[0].set_value("mine").run()
    assert not app.exception
    assert app.query_params[state.RUN] == "mine"
    assert len(answers(app)) == 3
    assert "is right" in texts(app)


def test_the_chosen_run_is_kept_on_other_pages(shipped, tmp_path):
    newest = tmp_path / "runs" / "newest"
    shutil.copytree(shipped["mocoop"].path, newest)
    status = json.loads((newest / "status.json").read_text())
    (newest / "status.json").write_text(json.dumps(status | {"started": status["started"] + 99}))
    app = AppTest.from_file(str(APP), default_timeout=120)
    app.query_params[state.RUN] = "albums-mocoop-16shot"  # a link
    app.run()
    for page in ("pages/routing.py", "pages/prompt_space.py", PAGE):
        app.query_params.clear()
        app.switch_page(page).run()
        assert not app.exception
        assert app.query_params[state.RUN] == "albums-mocoop-16shot"
    app.query_params.clear()
    del app.session_state[state.KEPT_RUN]  # as after the start of a training
    app.switch_page("pages/prompt_space.py").run()
    assert app.query_params[state.RUN] == "newest"


def test_the_first_lesson_is_one_click_away(shipped):
    app = open_page(PAGE)
    next(button for button in app.button if button.label == "First lesson").click().run()
    assert not app.exception
    assert app.title[0].value == "Overfitting lab"
    assert app.header[0].value == LESSONS[0].title


def test_single_prompt_has_no_story_but_a_word_on_wrong_predictions(shipped):
    seen = set()
    for number in range(4):
        app = open_page(PAGE, sample=str(number))
        app.selectbox[0].set_value("albums-coop-16shot").run()
        assert not app.exception
        said = texts(app)
        assert not answers(app)
        assert "data:image/png" in said
        assert ("Here CoOp is wrong. It predicts" in said) == ("✗" in said)
        assert ("right on 30 % of the test images" in said) == ("✗" in said)
        seen.add("✗" in said)
    assert True in seen


def test_home_draws_a_test_image_of_the_run(one_run):
    app = open_page(PAGE)
    assert not app.exception
    (label,) = app.selectbox[0].options
    assert label.startswith("details · MoCoOp · 2 images per class")
    assert label.endswith(one_run.name)
    first = texts(app)
    assert "<svg" in first
    assert "counts, here" not in first
    assert not answers(app)
    assert "Mixed answer" in first
    next(button for button in app.button if button.label == "Another image").click().run()
    assert not app.exception
    assert texts(app) != first
    assert app.query_params[state.SAMPLE] == "1"


@pytest.mark.parametrize(("start", "title"), [("Go to Train", "Train"), ("Explore", "Routing")])
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
    without = pipeline_svg(view, with_image=False)
    assert "<image" not in without
    assert "what counts" not in without
    assert re.findall(r">(\d)</text>", without)[:3] == ["1", "2", "3"]


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
