"""The Routing page: empty, loaded, failing; its filters, links and uploads."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.caches import data as data_caches
from app.caches import runs as run_caches
from app.common import state
from app.common.words import escape_markdown
from app.routing import upload_view
from mocoop.errors import UserError
from tests.support.page_fixtures import APP, open_page

PAGE = "pages/routing.py"
FILES, TRY = "My files", "Try a picture"


def png(size=(40, 30), colour="red", mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def texts(elements):
    return " ".join(str(element.value) for element in elements)


def html(app):
    return " ".join(element.proto.body for element in app.get("html"))


@pytest.fixture
def page(one_run):
    app = open_page(PAGE, run=one_run.name)
    assert not app.exception
    return app


def test_empty_says_what_to_do(empty_runs):
    app = open_page(PAGE)
    assert not app.exception
    assert "no finished run yet" in texts(app.info)


def test_loaded_shows_numbers_and_cards(page, one_run):
    results = one_run.results()
    assert page.metric[0].value == f"{results['base']['accuracy']:.1f} %"
    assert page.metric[1].value == f"{results['base']['style_nmi']:.2f} of 1"
    assert "the expert used most for their style" in texts(page.caption)
    assert len([b for b in page.button if b.label.startswith("Look closer")]) == 12
    assert "288 of 288 images" in texts(page.caption)
    untrained = f"zero-shot {results['base']['zero_shot']:.1f} %, random guessing 6.2 %."
    assert untrained in texts(page.caption)


def test_classes_it_never_saw(page, one_run):
    page.get("button_group")[0].set_value("new").run()
    assert not page.exception
    assert page.metric[0].value == f"{one_run.results()['new']['accuracy']:.1f} %"


def test_filters_lead_to_fewer_images_and_to_a_hint(page):
    page.selectbox(key=state.ONLY_STYLE).set_value("sketch").run()
    assert "32 of 288 images" in texts(page.caption)
    page.selectbox(key=state.ONLY_CLASS).set_value("bird").run()
    assert not page.exception
    page.selectbox(key=state.ORDER).set_value("wrong first").run()
    assert not page.exception


def test_a_link_restores_the_view(one_run):
    app = open_page(PAGE, run=one_run.name, style="dark", order="most certain")
    assert not app.exception
    assert app.selectbox(key=state.ONLY_STYLE).value == "dark"
    assert app.selectbox(key=state.ORDER).value == "most certain"
    assert "32 of 288 images" in texts(app.caption)


def test_a_link_to_a_run_that_is_gone_says_so(one_run):
    app = AppTest.from_file(str(APP), default_timeout=120)  # a link opens no other page first
    app.query_params["run"] = "gone"
    app.switch_page(PAGE).run()
    assert not app.exception
    assert "run 'gone', which does not exist here" in texts(app.warning)
    assert app.selectbox(key=state.RUN).value == one_run.name


def test_a_run_is_chosen_by_what_it_is_and_linked_by_its_name(one_run):
    shutil.copytree(one_run.path, one_run.path.parent / "again")
    app = open_page(PAGE, run=one_run.name)
    choice = app.selectbox(key=state.RUN)
    assert all(
        label.startswith("details · MoCoOp · 2 images per class") for label in choice.options
    )
    assert {one_run.name in label for label in choice.options} == {True, False}
    choice.set_value("again").run()
    assert not app.exception
    assert app.query_params[state.RUN] == "again"
    app.run()
    assert app.selectbox(key=state.RUN).value == "again"


def test_looking_closer_and_forcing_an_expert(one_run):
    image = "test/bird/photo/0"
    app = open_page(PAGE, run=one_run.name, image=image)
    assert not app.exception
    assert "True class: **bird**" in texts(app.caption)
    assert "The mixture predicts" in texts(app.markdown)
    assert "Nearest training images" in texts(app.markdown)
    app = open_page(PAGE, run=one_run.name, image=image, forced="sketch")
    assert not app.exception
    assert "Expert 'sketch' alone predicts" in texts(app.markdown)


def test_a_dialog_that_was_left_stays_closed_on_other_tabs(one_run):
    app = open_page(PAGE, run=one_run.name, image="test/bird/photo/0")
    next(b for b in app.button if b.label == "Change this picture").click().run()
    assert not app.exception
    assert app.session_state[state.VIEW] == TRY
    assert app.query_params[state.IMAGE] == "test/bird/photo/0"
    app.query_params[state.VIEW] = "Expert by expert"
    app.run()
    app.session_state[state.VIEW] = "Expert by expert"
    app.run()
    assert not app.exception
    assert app.session_state[state.VIEW] == "Expert by expert"
    assert "Nearest training images" not in texts(app.markdown)
    again = open_page(PAGE, run=one_run.name, image="test/bird/photo/0")
    assert "Nearest training images" in texts(again.markdown)


def test_an_experts_images_certain_ambiguous_and_wrong(one_run):
    usage = one_run.results()["base"]["expert_usage"]
    busiest = max(usage, key=usage.get)
    app = open_page(PAGE, run=one_run.name, view="Expert by expert", of_expert=busiest)
    assert not app.exception
    assert "It started from" in texts(app.caption)
    for title in ("Most certain", "Most ambiguous", "Wrong"):
        assert f"**{title}**" in texts(app.markdown)
    looks = [button for button in app.button if button.label.startswith("Look closer")]
    assert len({button.key for button in looks}) == len(looks) > 6
    looks[0].click().run()
    assert not app.exception
    assert "The mixture predicts" in texts(app.markdown)


@pytest.mark.parametrize(
    ("view", "words", "figures"),
    [
        ("Experts by class", "**Experts by style**", 5),
        ("Does the router help?", "router", 1),
        (TRY, "Nearest training images", 1),
    ],
)
def test_every_tab_shows_what_it_is_called_after(one_run, view, words, figures):
    app = open_page(PAGE, run=one_run.name, view=view)
    assert not app.exception
    assert not app.error
    assert words in texts(app.markdown)
    # One more above the tabs: who gets the images.
    assert len(app.get("plotly_chart")) == 1 + figures


def test_a_link_with_a_tab_s_earlier_name_opens_it(one_run):
    app = open_page(PAGE, run=one_run.name, view="Does it matter?")
    assert not app.exception
    assert "The router is" in texts(app.markdown)


def test_every_class_counts_alike_in_numbers_beside_the_accuracy(page, one_run):
    found = one_run.results()["base"]
    numbers = [found[key] for key in ("macro_f1", "mean_class_accuracy", "top5_accuracy")]
    words = "Macro-F1 **{:.1f} %** · mean of classes **{:.1f} %** · top-5 **{:.1f} %**"
    assert words.format(*numbers) in texts(page.markdown)


def test_many_classes_show_the_most_frequent_mistakes(one_run):
    app = open_page(PAGE, run=one_run.name, view="Experts by class")
    assert "rows are true classes, columns are predicted classes" in texts(app.markdown)
    app.get("button_group")[0].set_value("all").run()
    assert not app.exception
    assert "the 20 most frequent of" in texts(app.markdown)


def test_good_and_bad_files_together(one_run):
    app = open_page(PAGE, run=one_run.name, view=TRY, source=FILES)
    files = [
        ("good.png", png(), "image/png"),
        ("clear.png", png(mode="RGBA", colour=(0, 0, 0, 0)), "image/png"),
        ("notes.jpg", b"no picture at all", "image/jpeg"),
        ("cut.png", png((300, 300))[:60], "image/png"),
        ("large.png", png((1400, 700)), "image/png"),
    ]
    app.get("file_uploader")[0].set_value(files).run()
    assert not app.exception
    said = texts(app.warning)
    assert "notes.jpg: this file is not a readable image" in said
    assert "cut.png" in said
    assert "clear.png · transparent: shown on white" in texts(app.caption)
    assert "large.png · 1400 × 700 pixels, scaled down first" in texts(app.caption)
    assert app.selectbox(key=state.CHANGED).options == [
        "1. good.png",
        "2. clear.png",
        "3. large.png",
    ]


def test_the_user_chooses_what_is_behind_transparent_parts(one_run):
    app = open_page(PAGE, run=one_run.name, view=TRY, source=FILES)
    files = [("clear.png", png(mode="RGBA", colour=(0, 0, 0, 0)), "image/png")]
    app.get("file_uploader")[0].set_value([("solid.png", png(), "image/png")]).run()
    assert state.GROUND not in [group.key for group in app.get("button_group")]
    app.get("file_uploader")[0].set_value(files).run()
    chosen = next(group for group in app.get("button_group") if group.key == state.GROUND)
    chosen.set_value("black").run()
    assert not app.exception
    assert "clear.png · transparent: shown on black" in texts(app.caption)


def test_too_many_files_are_counted(one_run):
    app = open_page(PAGE, run=one_run.name, view=TRY, source=FILES)
    many = [(f"{n}.png", png(), "image/png") for n in range(upload_view.MAX_FILES + 2)]
    app.get("file_uploader")[0].set_value(many).run()
    assert not app.exception
    assert "You uploaded 14 files. Only the first 12 are shown" in texts(app.warning)


def test_one_picture_stands_beside_its_sliders_alone(one_run):
    app = open_page(PAGE, run=one_run.name, view=TRY, source=FILES)
    app.get("file_uploader")[0].set_value([("mine.png", png(), "image/png")]).run()
    assert not app.exception
    pictures = [image for image in app.get("imgs") if "mine" in str(image.proto)]
    assert not pictures  # cards come with a second one
    assert "mine.png" in texts(app.caption)
    assert ">before<" not in html(app)


def test_sliders_move_the_picture_and_the_routing(one_run):
    app = open_page(PAGE, run=one_run.name, view=TRY)
    assert ">now<" not in html(app)
    app.slider(key="blur").set_value(80).run()
    assert not app.exception
    assert ">before<" in html(app)
    assert ">now<" in html(app)
    next(button for button in app.button if button.label == "Reset").click().run()
    assert not app.exception
    assert app.slider(key="blur").value == 0
    assert ">before<" not in html(app)


def test_changed_data_are_named(one_run):
    path = one_run.path / "config.json"
    values = json.loads(path.read_text())
    values["class_names"][0] = "another name"
    path.write_text(json.dumps(values))
    app = open_page(PAGE, run=one_run.name)
    assert not app.exception
    assert "Restore the data, or train again" in texts(app.error)


def test_an_image_that_became_unreadable_leaves_all_others(one_run, monkeypatch):
    page = open_page(PAGE, run=one_run.name)
    cards = len([button for button in page.button if button.label.startswith("Look closer")])
    first, read = [], data_caches._thumbnail

    def damaged(data, item, *rest):
        first[:] = first or [item.id]
        if item.id in first:
            raise UserError(f"{item.id}: no such *file*.")
        return read(data, item, *rest)

    monkeypatch.setattr(data_caches, "_thumbnail", damaged)
    page.run()
    assert not page.exception
    assert not page.error
    assert len([b for b in page.button if b.label.startswith("Look closer")]) == cards
    assert [c.value for c in page.caption if "no such" in c.value] == [
        f":material/broken_image: {escape_markdown(first[0])}: no such \\*file\\*."
    ]


def test_a_run_without_features_is_named(one_run):
    (one_run.path / "features.safetensors").unlink()
    app = open_page(PAGE, run=one_run.name)
    assert not app.exception
    assert "has no features.safetensors" in texts(app.error)


def test_a_damaged_run_does_not_hide_the_others(one_run):
    broken = one_run.path.parent / "broken"
    shutil.copytree(one_run.path, broken)
    (broken / "config.json").write_text("{")
    app = open_page(PAGE)
    assert not app.exception
    assert app.selectbox(key=state.RUN).value == one_run.name
    app.selectbox(key=state.RUN).set_value("broken").run()
    assert not app.exception
    assert "config.json cannot be read" in texts(app.error)


def test_uploads_without_content_are_told_and_the_newest_is_chosen(one_run):
    """A run always names a class; noise and a flat picture do not show one."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    files = [("solid.png", png(), "image/png"), ("noise.png", buffer.getvalue(), "image/png")]
    app = open_page(PAGE, run=one_run.name, view="Try a picture", source="My files")
    app.get("file_uploader")[0].set_value(files[:1]).run()
    assert "The answer is always one of the 32 classes" in texts(app.caption)
    assert "**solid.png:** This picture is of one colour." in texts(app.caption)
    app.get("file_uploader")[0].set_value(files).run()
    assert not app.exception
    assert "**noise.png:** This picture looks like pure noise." in texts(app.caption)
    assert app.selectbox(key=state.CHANGED).value == "2. noise.png"
    app.selectbox(key=state.CHANGED).set_value("1. solid.png").run()
    assert app.selectbox(key=state.CHANGED).value == "1. solid.png"
    app.get("file_uploader")[0].set_value(files[:1]).run()
    app.get("file_uploader")[0].set_value([files[0], ("new.png", *files[1][1:])]).run()
    assert app.selectbox(key=state.CHANGED).value == "2. new.png"


def test_a_wrong_image_says_whether_the_experts_or_their_choice_is_why(one_run):
    tested = run_caches.routed_test_items(one_run, "base")
    routed, labels = tested.routed, tested.labels
    own = routed.expert_probabilities.argmax(dim=-1)  # (images, experts)
    wrong = (routed.probabilities.argmax(dim=-1) != labels).nonzero().flatten().tolist()
    assert wrong
    for index in wrong[:3]:
        right = own[index] == labels[index]
        chosen = routed.weights[index] > 0
        app = open_page(PAGE, run=one_run.name, image=tested.items[index].id)
        assert not app.exception
        said = texts(app.markdown)
        assert ("No expert is right alone" in said) == (not right.any())
        assert ("the router did not choose" in said) == bool(
            right.any() and not right[chosen].any()
        )
        assert ("another class wins" in said) == bool(right[chosen].any())
