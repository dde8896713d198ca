"""The Prompt space page: empty, loaded, failing; its map, epochs and what lies behind a point."""

from __future__ import annotations

import pytest
from page_fixtures import open_page

from app import run_caches, state
from mocoop import projection

PAGE = "pages/prompt_space.py"


def texts(elements):
    return " ".join(str(element.value) for element in elements)


@pytest.fixture(autouse=True)
def no_warm_up(monkeypatch):
    """Keeps UMAP, which takes many seconds to compile, out of these tests."""
    monkeypatch.setattr(run_caches, "warm_up_umap", lambda: None)


def test_empty_says_what_to_do(empty_runs):
    app = open_page(PAGE)
    assert not app.exception
    assert "No finished run yet" in texts(app.info)


def test_loaded_shows_numbers_map_and_words(one_run):
    app = open_page(PAGE, run=one_run.name)
    assert not app.exception
    drift = app.dataframe[0].value
    assert drift["expert"].tolist() == list(one_run.setup().experts)
    assert drift["own cosine"].between(-1, 1).all()
    assert "Trustworthiness" in texts(app.markdown)
    assert "distances between clusters mean little" in texts(app.markdown)
    assert "Do not read too much into these" in texts(app.caption)
    assert len(app.multiselect(key=state.MAP_CLASSES).value) == 5


def test_epoch_zero_is_before_any_drift(one_run):
    app = open_page(PAGE, run=one_run.name, epoch="0")
    assert not app.exception
    assert "at epoch 0" in texts(app.markdown)
    assert (app.dataframe[0].value["own nearest"] == 100).all()


def test_a_link_restores_the_view(one_run):
    expert, class_name = one_run.setup().experts[2], one_run.setup().class_names[3]
    query = {"dims": "3", "colour": "class", "look_expert": expert, "look_class": class_name}
    app = open_page(PAGE, run=one_run.name, **query)
    assert not app.exception
    assert app.selectbox(key=state.MAP_EXPERT).value == expert
    assert f"test images of *{class_name}* go to *{expert}*" in texts(app.markdown)
    assert "✚ soft prompt" in texts(app.caption)


def test_no_class_is_a_hint(one_run):
    app = open_page(PAGE, run=one_run.name)
    app.multiselect(key=state.MAP_CLASSES).set_value([]).run()
    assert not app.exception
    assert "Choose at least one class" in texts(app.info)


def test_umap_is_fitted_once_and_then_read(one_run, monkeypatch):
    fits = []

    def fit(features, settings):
        fits.append(settings.dims)
        return features[:, : settings.dims]

    monkeypatch.setattr(projection, "fit_umap", fit)
    for _ in range(2):
        app = open_page(PAGE, run=one_run.name, map="UMAP")
        assert not app.exception
        run_caches._projection.clear()
    assert fits == [2]
    assert len(list(one_run.path.glob("projection-*.safetensors"))) == 1


def test_a_run_without_features_is_named(one_run):
    (one_run.path / "features.safetensors").unlink()
    app = open_page(PAGE, run=one_run.name)
    assert not app.exception
    assert "has no features.safetensors" in texts(app.error)


def test_missing_weights_are_named_after_the_map(one_run):
    (one_run.path / "weights.safetensors").unlink()
    app = open_page(PAGE, run=one_run.name)
    assert not app.exception
    assert "Trustworthiness" in texts(app.markdown)
    assert "has no weights.safetensors" in texts(app.error)
