"""The Train page's methods: the menu, its links, and the settings that each method shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from app.common import state
from app.common.methods import menu_label, method_called
from app.common.words import run_title
from app.jobs import trainings
from app.train import setting_words
from mocoop.config import TrainConfig
from mocoop.method_record import FAMILIES
from mocoop.methods import MENU, METHODS
from mocoop.presets import preset
from mocoop.published import SAME, compared
from tests.support.page_fixtures import open_page

PAGE = "pages/train.py"
EVERYWHERE = {"Data set", "Method", "Seed", "CLIP"}
RECIPE = "Is this the published recipe?"
REAL = "ViT-B-32-quickgelu/openai"
TRAINING = {"Epochs", "Learning rate", "Images per step"}
CACHED = TRAINING | {"Views per image", "Precision"}
LIVE = TRAINING | {"LayerNorm rate", "Precision", "Random crops"}
STYLE = {"Train on images of"}
SENTENCE = {"Start the prompt from a sentence"}
CONTEXT = {"Starts from"} | SENTENCE
OWN = {"A separate prompt for every class"}
ROUTER = {"Experts per image", "Router's rate", "Gating loss weight", "Router learns from"}
ROUTER |= {"Number of experts"}
SHIFT = {"A network for every expert", "Blocks of the text tower", "The image counts from block"}
TEXT = {"Text weight", "Names in text loss", "Text loss scale", "Compared with"}
TEXT |= {"Softmax over", "Noise"}
TOKENS = TRAINING | {"Precision", "Random crops", "Blocks of the image tower"}
TOKENS |= {"Image tokens per block", "Image tokens' rate"}
CLOSE = {"Closeness of texts", "Closeness of images", "Closeness of predictions"}
CLOSE |= {"Frozen CLIP's templates", "Mean over templates"}
MEAN = {"Epoch with most weight", "Spread in epochs"}
SEARCH, KEYS = {"Values tried"}, {"Crops per stored image"}
RESIDUAL = {"Share of what is learned", "Views per image"}
SHOWN = {
    "zero-shot": set(),
    "ensemble": set(),
    "linear-probe": STYLE | SEARCH,
    "tip-adapter": STYLE | SEARCH | KEYS,
    "tip-adapter-f": STYLE | TRAINING | SEARCH | KEYS,
    "taskres": STYLE | TRAINING | RESIDUAL,
    "clip-adapter": STYLE | TRAINING | RESIDUAL,
    "lp++": STYLE | SEARCH | KEYS,
    "coop": STYLE | CACHED | CONTEXT | OWN,
    "cocoop": STYLE | CACHED | CONTEXT,
    "prograd": STYLE | CACHED | CONTEXT | OWN | {"λ", "Temperature"},
    "kgcoop": STYLE | CACHED | CONTEXT | OWN | {"Anchor weight"},
    "lasp": STYLE | CACHED | CONTEXT | OWN | TEXT,
    "lasp-v": STYLE | CACHED | CONTEXT | OWN | TEXT,
    "lasp-ln": STYLE | LIVE | CONTEXT | OWN | TEXT,
    "lasp-v-ln": STYLE | LIVE | CONTEXT | OWN | TEXT,
    "mocoop": STYLE | CACHED | ROUTER | TEXT,
    "mocoop-all": STYLE | CACHED | ROUTER | TEXT,
    "mocoop-cond": STYLE | CACHED | ROUTER | TEXT | SHIFT,
    "mocoop-ln": STYLE | LIVE | ROUTER | TEXT,
    "mocoop-all-ln": STYLE | LIVE | ROUTER | TEXT,
    "promptsrc": STYLE | TOKENS | {"Blocks of the text tower"} | CLOSE | MEAN | SENTENCE,
    "mocoop-v": STYLE | TOKENS | ROUTER | TEXT | {"Last blocks, for each expert"},
    "mocoop-src": STYLE | TOKENS | ROUTER | TEXT | CLOSE - {"Closeness of texts"},
}


@pytest.fixture
def started(empty_runs, monkeypatch) -> list[TrainConfig]:
    """Collects what the page starts, and starts nothing."""
    asked: list[TrainConfig] = []
    monkeypatch.setattr(trainings, "start_run", asked.append)
    return asked


def widgets(app) -> dict[str, object]:
    """Returns the form's widgets by label."""
    kinds = ("number_input", "selectbox", "text_input", "toggle")
    return {widget.label: widget for kind in kinds for widget in app.get(kind)}


def texts(elements) -> str:
    return " ".join(str(element.value) for element in elements)


def open_method(method: str, **query: str):
    app = open_page(PAGE, data="details", method=menu_label(METHODS[method]), **query)
    assert not app.exception
    return app


def start(app):
    return app.button(key="start").click().run()


@pytest.mark.parametrize("method", SHOWN)
def test_every_method_starts_with_its_preset_and_shows_its_settings_alone(started, method):
    app = open_method(method)
    assert not app.error
    assert set(widgets(app)) - EVERYWHERE == SHOWN[method]
    assert METHODS[method].summary in texts(app.caption)
    assert ("Reset the table" in [b.label for b in app.button]) == METHODS[method].is_mixture
    start(app)
    assert started == [replace(preset(method), data="details")]


@pytest.mark.parametrize("method", ["zero-shot", "ensemble", "tip-adapter", "coop"])
def test_what_has_no_effect_is_not_asked(started, method):
    app = open_method(method)
    untouched = method in ("zero-shot", "ensemble")  # by the images that are drawn
    assert ("Seed" not in [widget.label for widget in app.number_input]) == untouched
    asked = [group.proto.label for group in app.get("button_group")]
    assert ("Images per class" not in asked) == untouched
    begin = "Start training" if method == "coop" else "Test it"
    assert app.button(key="start").label == begin


@pytest.mark.parametrize("method", [m for m in METHODS if m != "linear-probe"])
def test_every_method_takes_the_published_recipe_of_another_clip(started, method):
    app = open_method(method)
    widgets(app)["CLIP"].set_value(REAL).run()
    assert not app.exception
    assert not app.error
    assert "about " in texts(app.caption)
    start(app)
    assert started == [replace(preset(method, REAL), data="details")]


@pytest.mark.parametrize(
    ("asked", "method"),
    [
        ("mocoop", "mocoop"), ("coop", "coop"), ("zero-shot", "zero-shot"),
        ("CoOp", "coop"), ("Zero-shot", "zero-shot"), ("kgcoop", "kgcoop"), ("nonsense", "mocoop"),
    ],
)  # fmt: skip
def test_links_of_earlier_versions_still_work(started, asked, method):
    app = open_page(PAGE, method=asked)
    assert not app.exception
    assert app.selectbox(key=state.METHOD).value == method
    app.selectbox(key=state.METHOD).set_value("lasp").run()  # the link does not hold on to it
    assert app.selectbox(key=state.METHOD).value == "lasp"


def test_the_menu_is_grouped():
    families = [method.family for method in MENU.values()]
    assert tuple(dict.fromkeys(families)) == FAMILIES
    assert families == sorted(families, key=FAMILIES.index)
    assert next(iter(MENU)) == "mocoop"
    assert set(MENU) == set(METHODS)
    assert method_called("One prompt: KgCoOp") == "kgcoop"
    assert method_called("") is None


@pytest.mark.parametrize("method", ["mocoop", "coop", "tip-adapter-f", "taskres", "lp++"])
def test_a_recipe_is_compared_with_the_published_one(started, method):
    """What differs comes first, then what is the same; every line has its source."""
    app = open_method(method)
    next(b for b in app.button if b.label == RECIPE).click().run()
    assert not app.exception
    different, same = (e.value for e in app.markdown if e.value.startswith("| Setting"))
    lines = compared(METHODS[method])
    assert len(different.splitlines()) + len(same.splitlines()) == len(lines) + 4
    assert all(line.published in different + same for line in lines)
    assert all(line.ours in different for line in lines if line.ours != SAME)


def test_what_has_no_recipe_has_no_such_button(started):
    app = open_method("zero-shot")
    assert RECIPE not in [button.label for button in app.button]


def test_methods_are_explained_on_request(started):
    app = open_page(PAGE)
    next(b for b in app.button if b.label == "What is each method for?").click().run()
    assert not app.exception
    said = texts(app.markdown)
    assert all(method.use in said for method in METHODS.values())


def test_settings_of_a_prompt_reach_the_run(started):
    app = open_method("kgcoop")
    widgets(app)["Anchor weight"].set_value(2.0).run()
    widgets(app)["Starts from"].set_value("random").run()
    widgets(app)["Tokens"].set_value(4).run()
    widgets(app)["Class name"].set_value("middle").run()
    widgets(app)["Precision"].set_value("bf16").run()
    widgets(app)["A separate prompt for every class"].set_value(True).run()
    widgets(app)["Train on images of"].set_value("sketch").run()
    assert "It starts from 4 random tokens and the class name" in texts(app.caption)
    assert "64 images" not in texts(app.caption)  # four sketches of each of the 32 classes
    assert "128 images" in texts(app.caption)
    start(app)
    assert started == [
        replace(
            preset("kgcoop"), data="details", anchor_weight=2.0, context_init="random",
            context_tokens=4, name_position="middle", precision="bf16", class_context=True,
            style="sketch",
        )
    ]  # fmt: skip


def test_settings_of_a_mixture_reach_the_run(started):
    app = open_method("mocoop-ln")
    widgets(app)["Router learns from"].set_value("soft").run()
    widgets(app)["LayerNorm rate"].set_value(0.2).run()
    widgets(app)["Text loss scale"].set_value("one").run()
    widgets(app)["Compared with"].set_value("templates").run()
    widgets(app)["Random crops"].set_value(True).run()
    start(app)
    assert started == [
        replace(
            preset("mocoop-ln"), data="details", gate_target="soft", layer_norm_rate=0.2,
            text_scale="one", text_target="templates", augment="crops",
        )
    ]  # fmt: skip


def test_words_of_ones_own_start_a_prompt(started):
    app = open_method("coop")
    widgets(app)["Starts from"].set_value("words").run()
    widgets(app)["Words"].set_value("a drawing of a").run()
    assert "It starts from “a drawing of a {}.”" in texts(app.caption).replace("\\", "")
    start(app)
    assert started[0].context_words == "a drawing of a"


def test_refused_settings_are_explained_and_nothing_is_lost(started):
    app = open_method("coop")
    widgets(app)["Starts from"].set_value("random").run()
    widgets(app)["A separate prompt for every class"].set_value(True).run()
    assert not app.error
    app.get("button_group")[1].set_value("base").run()
    assert not app.exception
    assert "Train on all classes, or turn class_context off" in texts(app.error)
    assert "start" not in [button.key for button in app.button]
    assert widgets(app)["Starts from"].value == "random"
    widgets(app)["A separate prompt for every class"].set_value(False).run()
    assert not app.error
    start(app)
    wanted = replace(preset("coop"), data="details", classes="base", context_init="random")
    assert started == [wanted]


def test_a_method_keeps_its_settings_while_others_are_looked_at(started):
    app = open_method("mocoop")
    widgets(app)["Experts per image"].set_value(3).run()
    for method in ("lasp", "tip-adapter", "mocoop"):
        app.selectbox(key=state.METHOD).set_value(method).run()
        assert not app.exception
        assert not app.error
    assert widgets(app)["Experts per image"].value == 3


def test_a_linear_probe_without_validation_images_is_told_before_it_starts(started, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "test" / name).mkdir(parents=True)
        for split in ("train", "test"):
            Image.new("RGB", (32, 32), "red").save(tmp_path / split / name / "1.png")
    app = open_page(PAGE, data=str(tmp_path), method="linear-probe")
    assert not app.exception
    assert "tuned on validation images" in texts(app.error)
    app = open_page(PAGE, data=str(tmp_path), method="tip-adapter")
    assert not app.error


def test_choices_of_the_form_are_the_settings_own():
    for name, words in (
        ("context_init", setting_words.CONTEXTS),
        ("name_position", setting_words.POSITIONS),
        ("text_classes", setting_words.TEXT_CLASSES),
        ("text_scale", setting_words.TEXT_SCALES),
        ("text_target", setting_words.TEXT_TARGETS),
        ("text_templates", setting_words.TEXT_TEMPLATES),
        ("text_softmax", setting_words.TEXT_SOFTMAX),
        ("gate_target", setting_words.GATE_TARGETS),
        ("precision", setting_words.PRECISIONS),
    ):
        for value in words:
            config = TrainConfig(**{"context_init": "words", name: value})
            assert getattr(config, name) == value


def test_titles_name_method_and_style():
    config = replace(preset("lasp-v-ln"), data="details", shots=1, style="sketch")
    assert (
        run_title(config)
        == "details · LASP-V + LayerNorms · 1 image per class · seed 1 · sketch only"
    )
