"""A typed prompt on Routing, Prompt space and Train; bad sentences; an edited group."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.common import state
from app.common.words import GROUP, TEMPLATES
from mocoop.datasets.edits import Edits, write_edits
from tests.support.app_fixtures import train
from tests.support.page_fixtures import open_page
from tests.support.tiny_data import picture_folder

ROUTING, SPACE, TRAIN = "pages/routing.py", "pages/prompt_space.py", "pages/train.py"
TYPE, TRY = "Type a prompt", "Try a picture"


def texts(elements):
    """Returns what elements say, without the backslashes of Markdown."""
    return " ".join(str(element.value) for element in elements).replace("\\", "")


def html(app):
    return " ".join(element.proto.body for element in app.get("html"))


def typing(run, text="", **query):
    app = open_page(ROUTING, run=run.name, view=TYPE, **query)
    assert not app.exception
    if text:
        app.text_input(key=state.TYPED).set_value(text).run()
        assert not app.exception
    return app


def button(app, label):
    return next(button for button in app.button if button.label.replace("\\", "") == label)


def test_nothing_typed_offers_sentences(one_run):
    app = typing(one_run)
    assert "Nothing is trained here" in texts(app.caption)
    assert not app.text_area  # the part in which a group is edited is closed
    button(app, "a photo of a small {}.").click().run()
    assert not app.exception
    assert app.text_input(key=state.TYPED).value == "a photo of a small {}."
    assert app.metric


def test_groups_that_begin_alike_offer_their_sentence_once(empty_runs, tmp_path):
    folder = picture_folder(tmp_path / "own")
    groups = {"a": ("a photo of a {}.",), "b": ("a photo of a {}.", "a sketch of a {}.")}
    write_edits(Path(folder), Edits(groups=groups))
    train("mocoop", empty_runs / "alike", data=folder, shots=1, epochs=1)
    app = open_page(ROUTING, run="alike", view=TYPE)
    assert not app.exception
    assert button(app, "a photo of a {}.")


def test_scores_on_the_picture_and_on_the_test_images(one_run):
    app = typing(one_run, "a photo of a {}.")
    zero_shot = one_run.results()["base"]["zero_shot"]
    (found,) = [m for m in app.metric if m.label == "On the test images"]
    assert found.value == f"{zero_shot:.1f} %"  # the sentence is the zero-shot prompt
    assert "+0.0 points against zero-shot [+0.0, +0.0]: no clear difference" in texts(app.markdown)
    said = html(app)
    assert "Your prompt" in said
    assert "Zero-shot" in said
    assert len(app.get("plotly_chart")) >= 2


def test_a_link_restores_the_sentence(one_run):
    app = typing(one_run, prompt="a sketch of a {}.")
    assert app.text_input(key=state.TYPED).value == "a sketch of a {}."
    assert "against zero-shot" in texts(app.markdown)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a photo of a cat", "has no place for the class name"),
        ("a {} and a {}", "has {} 2 times"),
        ("word " * 400 + "{}", "Shorten the class name or the template"),
        ("photos of {}s", "letter or digit next to {}"),
        ("**bold** <script>", "'**bold** <script>' has no place"),
    ],
)
def test_bad_sentences_say_what_to_do(one_run, text, words):
    app = typing(one_run, text)
    assert words in texts(app.warning)
    assert not app.error
    assert "against zero-shot" not in texts(app.markdown)


def test_markup_is_shown_as_it_is(one_run):
    app = typing(one_run, "<b>{}</b> *very* [big](http://example.org)")
    assert "&lt;b&gt;{}&lt;/b&gt; *very* [big](http" in html(app)
    assert "<b>{}</b>" not in html(app)


def test_another_picture(one_run, monkeypatch):
    monkeypatch.setattr("app.routing.typed_view.random.randrange", lambda count: 7)
    app = typing(one_run, "a photo of a {}.")
    before = html(app)
    button(app, "Another picture").click().run()
    assert not app.exception
    assert app.session_state[state.TYPED_PICTURE] == 7
    assert html(app) != before


def test_an_edited_group_moves_target_and_accuracy(one_run):
    app = typing(one_run, edit="true")
    table = next(e.value for e in app.dataframe if "as in the run" in e.value.columns)
    assert (table["as in the run"] == table["edited"]).all()
    assert "first choice is still" in texts(app.caption)
    app.selectbox(key=state.TYPED_GROUP).set_value("sketch").run()
    app.text_area[0].set_value("a photo of many {}.\n\na {} pattern.").run()
    assert not app.exception
    table = next(e.value for e in app.dataframe if "as in the run" in e.value.columns)
    assert (table["as in the run"] != table["edited"]).any()
    assert float(table["edited"][0]) < 1
    assert button(app, "Train with this group")


@pytest.mark.parametrize(("text", "words"), [("", "Type a sentence"), ("no slot", "no place")])
def test_a_group_of_bad_sentences_says_what_to_do(one_run, text, words):
    app = typing(one_run, edit="true")
    app.text_area[0].set_value(text).run()
    assert not app.exception
    assert words in texts(app.warning)


def test_a_long_group_is_not_cut(monkeypatch):
    monkeypatch.setattr("app.caches.answers.text_features", lambda clip, data, line: line)

    def script():
        from types import SimpleNamespace

        import streamlit as st

        from app.routing.group_view import edited_templates

        sentences = tuple(f"a photo with number {n} of a {{}}." for n in range(300))
        config = SimpleNamespace(backbone="demo", data="details")
        setup = SimpleNamespace(groups={"g": sentences}, config=config)
        st.write(edited_templates(SimpleNamespace(name="run"), setup, "g") == sentences)

    app = AppTest.from_function(script).run()
    assert not app.warning
    assert app.text_area[0].proto.max_chars > len(app.text_area[0].value) > 8000
    assert app.markdown[0].value == "`True`"


def test_the_train_page_starts_from_the_sentence(empty_runs):
    link = {"data": "details", "method": "coop", state.START: "a sketch of a {}."}
    app = open_page(TRAIN, **link)
    assert not app.exception
    assert not app.error
    assert app.text_input(key=state.START).value == "a sketch of a {}."
    assert "It starts from “a sketch of a {}.”" in texts(app.caption)
    app.text_input(key=state.START).set_value("a *sketch*").run()
    assert "'a *sketch*' has no place for the class name" in texts(app.error)
    app.text_input(key=state.START).set_value("$x$ :red[b]").run()
    assert r"\$x\$ \:red" in app.error[0].value
    app.text_input(key=state.START).set_value("a sketch of a {}.").run()
    assert "Starts from your sentence" in texts(app.caption)
    app.selectbox(key=state.METHOD).set_value("linear-probe").run()
    assert "Starts from your sentence" not in texts(app.caption)


def test_edited_groups_reach_the_train_page(empty_runs):
    app = open_page(TRAIN, data="details", method="mocoop")
    app.session_state[f"{state.TEMPLATES_EDITED} details"] = [
        {GROUP: "sketch", TEMPLATES: "a sketch of a {}."},
        {GROUP: "many", TEMPLATES: "a photo of many {}."},
    ]
    app.switch_page("pages/home.py").run()
    app.switch_page(TRAIN).run()
    assert not app.exception
    assert "2 experts" in texts(app.caption)


def test_the_row_of_methods_has_the_typed_prompt_too(one_run):
    app = open_page(ROUTING, run=one_run.name, view=TRY)
    app.text_input(key=state.TYPED).set_value("a <i>sketch</i> of a {}.").run()
    assert not app.exception
    assert "a &lt;i&gt;sketch&lt;/i&gt; of a {}." in html(app)
    app.text_input(key=state.TYPED).set_value("a sketch").run()
    assert not app.exception
    assert "no place for the class name" in texts(app.warning)
    assert "Zero-shot</div>" in html(app)  # the row stays


def test_the_sentence_is_a_point_of_the_map(one_run):
    app = open_page(SPACE, run=one_run.name, prompt="a photo of a tiny {}.")
    assert not app.exception
    assert not app.error
    figure = app.get("plotly_chart")[1].proto.spec
    assert "your prompt" in figure
    assert "a photo of a tiny {}." in figure
    assert "nearest to" in texts(app.markdown)
    app.text_input(key=state.TYPED).set_value("a tiny thing").run()
    assert not app.exception
    assert "no place for the class name" in texts(app.warning)
    assert "your prompt" not in app.get("plotly_chart")[1].proto.spec


def test_a_data_set_that_changed_is_told_and_the_map_stays(one_run):
    path = one_run.path / "config.json"
    values = json.loads(path.read_text())
    values["class_names"][0] = "another name"
    path.write_text(json.dumps(values))
    app = open_page(SPACE, run=one_run.name, prompt="a photo of a tiny {}.")
    assert not app.exception
    assert "which now has 32 classes or other names" in texts(app.error)
    assert "nearest to" not in texts(app.markdown)
    assert len(app.get("plotly_chart")) > 1
