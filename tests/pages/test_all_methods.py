"""Every page with a run of every method: nothing is missing, nothing is shown in vain."""

from __future__ import annotations

import pytest

from app.caches import data as data_caches
from app.caches import runs as run_caches
from app.common import state
from app.common.methods import menu_label
from mocoop.methods import METHODS
from mocoop.presets import preset
from mocoop.runs.run import Run
from tests.support.app_fixtures import train
from tests.support.page_fixtures import open_page

pytestmark = pytest.mark.long

MIXTURES = tuple(key for key, method in METHODS.items() if method.is_mixture)
NO_PROMPTS = tuple(key for key, method in METHODS.items() if not method.learns_prompts)
# A quick run has one of each kind; `make test-long` has the others.
SLOW = (
    "vpt",
    "ivlp",
    "promptsrc",
    "clip-lora",
    "mocoop-v",
    "mocoop-cond",
    "mocoop-src",
    "lasp-v-ln",
    "mocoop-all-ln",
)
EVERY = [pytest.param(key, marks=[pytest.mark.long] * (key in SLOW)) for key in METHODS]
FAR_APART = (
    "zero-shot", "linear-probe", "tip-adapter", "cocoop", "mocoop-ln", "mocoop-cond", "maple",
)  # fmt: skip
TABS = (
    "Test images",
    "Experts by class",
    "Does the router help?",
    "Accuracy by class",
    "Try a picture",
)


def texts(elements):
    return " ".join(str(element.value) for element in elements)


@pytest.fixture(scope="module")
def run_of(workspace, tmp_path_factory):
    """A function that returns a finished run of a method, trained once."""
    folder = tmp_path_factory.mktemp("methods")
    made: dict[str, Run] = {}

    def run(method: str, name: str = "", **changes: object) -> Run:
        name = name or method
        if name not in made:
            epochs = {} if preset(method).epochs == 0 else {"epochs": 1}
            made[name] = train(method, folder / name, shots=1, **epochs, **changes)
        return made[name]

    return run


@pytest.fixture
def show(empty_runs, run_of):
    """A function that puts a run of a method into the folder of runs and opens a page."""

    def open_with(page: str, method: str, name: str = "", changes=None, **query: str):
        run = run_of(method, name, **(changes or {}))
        if not (empty_runs / run.name).exists():
            (empty_runs / run.name).symlink_to(run.path, target_is_directory=True)
        app = open_page(page, run=run.name, **query)
        assert not app.exception
        return app

    return open_with


def test_every_method_is_described():
    assert len({menu_label(method) for method in METHODS.values()}) == len(METHODS)
    assert all(method.summary and method.use for method in METHODS.values())


@pytest.mark.parametrize("method", EVERY)
def test_home_draws_a_run_of_every_method(show, method):
    app = show("pages/home.py", method)
    assert not app.error
    figure = next(text.value for text in app.markdown if "<svg" in text.value)
    assert ("Mixed answer" in figure) == (method in MIXTURES)
    if method not in MIXTURES:
        assert METHODS[method].label in figure


@pytest.mark.parametrize("method", EVERY)
def test_train_page_shows_a_finished_run_of_every_method(show, method):
    app = show("pages/train.py", method)
    assert not app.error
    labels = [button.label for button in app.button]
    assert ("See the routing" in labels) == (method in MIXTURES)
    assert ("See the prompt space" in labels) == (method not in NO_PROMPTS)
    curves = {True: 4, False: 2}[method in MIXTURES]
    drawn = METHODS[method].reports_epochs
    assert drawn == (method not in NO_PROMPTS or method in ("taskres", "clip-adapter"))
    assert len(app.get("plotly_chart")) == (curves if drawn else 0)
    assert ("no curves" in texts(app.caption)) != drawn


@pytest.mark.parametrize(
    ("method", "view"),
    [pytest.param(*method.values, TABS[0], marks=method.marks) for method in EVERY]
    + [(method, view) for method in FAR_APART for view in TABS[1:]],
)
def test_routing_shows_what_there_is(show, method, view):
    app = show("pages/routing.py", method, view=view)
    assert not app.error
    said = f"{METHODS[method].label} has no router"
    assert (said in texts(app.info)) == (method not in MIXTURES)
    if view == TABS[0]:
        assert "576 of 576 images" in texts(app.caption)
        asks = state.ONLY_EXPERT in [box.key for box in app.selectbox]
        assert asks == (method in MIXTURES)
    labels = [tab.label for tab in app.tabs]
    assert ("Does the router help?" in labels) == (method in MIXTURES)
    assert ("Accuracy by class" in labels) == (method not in MIXTURES)


@pytest.mark.parametrize("method", ["cocoop", "linear-probe", "tip-adapter-f"])
def test_an_image_can_be_looked_at_closely(show, method):
    app = show("pages/routing.py", method, image="test/bird/photo/0")
    assert not app.error
    assert f"{METHODS[method].label} predicts" in texts(app.markdown)


def test_answers_of_experts_that_were_not_chosen_are_explained(show):
    app = show("pages/routing.py", "mocoop-cond", image="test/bird/photo/0")
    assert not app.error
    assert "as it is without any image" in texts(app.caption)


@pytest.mark.parametrize("method", EVERY)
def test_prompt_space_shows_prompts_or_says_that_there_are_none(show, method):
    app = show("pages/prompt_space.py", method)
    assert not app.error
    none = f"{METHODS[method].label} learns no soft prompts" in texts(app.info)
    assert none == (method in NO_PROMPTS)
    assert ("Trustworthiness" in texts(app.markdown)) == (method not in NO_PROMPTS)
    shifted = preset(method).conditional
    assert ("every prompt without this vector" in texts(app.info)) == shifted


def test_groups_are_not_edited_where_images_change_the_prompts(show):
    app = show("pages/routing.py", "mocoop-cond", view="Type a prompt", edit="true")
    assert not app.error
    assert "every image changes the prompts of its experts" in texts(app.info)


def test_words_of_a_prompt_for_every_class_are_those_of_the_class(show):
    own = {"class_context": True, "context_init": "random", "context_tokens": 3}
    app = show("pages/prompt_space.py", "coop", "own", own, look_class="black queen")
    assert not app.error
    assert "learned tokens for this class" in texts(app.markdown)
    assert len(app.dataframe[-1].value) == 3


def test_a_residual_of_the_base_half_says_that_it_knows_no_other(show):
    """It has curves, and the same note as a probe."""
    base = {"classes": "base"}
    app = show("pages/train.py", "taskres", "residual-base", base)
    assert not app.error
    assert "cannot be tested on the new classes" in texts(app.caption)
    assert len(app.get("plotly_chart")) == 2
    app = show("pages/routing.py", "taskres", "residual-base", base, view=TABS[0], classes="new")
    assert not app.error
    assert "can only predict the classes it was trained on" in texts(app.caption)


@pytest.mark.parametrize("view", [TABS[0], *TABS[3:]])
def test_linear_probe_of_the_base_half_knows_no_other(show, view):
    base = {"classes": "base"}
    app = show("pages/routing.py", "linear-probe", "probe-base", base, view=view, classes="new")
    assert not app.error
    assert "can only predict the classes it was trained on" in texts(app.caption)
    assert app.metric[0].label == "Accuracy"
    for page in ("pages/home.py", "pages/train.py"):
        app = show(page, "linear-probe", "probe-base", base, sample="3")
        assert not app.error
    assert [metric.label for metric in app.metric][:2] == ["Base classes", "Training time"]
    assert "cannot be tested on the new classes" in texts(app.caption)


def test_tuned_layer_norms_are_read_once_and_used(run_of, empty_runs):
    run = run_of("lasp-ln")
    clip = run_caches.run_backbone(run)
    assert clip is run_caches.run_backbone(run)
    assert clip.fingerprint != data_caches.backbone("demo").fingerprint
    assert run_caches.run_backbone(run_of("lasp")) is data_caches.backbone("demo")
    found = run_caches.routed_test_items(run, "all")
    right = (found.routed.probabilities.argmax(dim=-1) == found.labels).float().mean()
    assert 100 * right.item() == pytest.approx(run.results()["all"]["accuracy"], abs=0.2)
