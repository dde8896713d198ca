"""Routing, side by side: what several methods say about one picture, and runs that go away."""

from __future__ import annotations

import io
import shutil

import pytest
from PIL import Image

from app.common import state
from app.side_by_side import view
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from tests.support.compare_example import copy_run
from tests.support.page_fixtures import open_page

PAGE, TRY, FILES = "pages/routing.py", "Try a picture", "My files"


def html(app):
    return " ".join(element.proto.body for element in app.get("html"))


def texts(elements):
    return " ".join(str(element.value) for element in elements)


@pytest.fixture
def two(one_run, empty_runs):
    """A finished mixture, and a copy of it that calls itself CoOp."""
    copy_run(one_run, empty_runs / "second", method="coop", seed=4)
    return one_run


def tried(run, **query):
    app = open_page(PAGE, run=run.name, view=TRY, **query)
    assert not app.exception
    return app


def test_a_test_image_has_a_column_per_method(two):
    app = tried(two)
    said = html(app)
    for title in ("MoCoOp", "Zero-shot", "Ensemble", "CoOp"):
        assert f"{title}</div>" in said
    assert said.count("no training") == 2
    assert "Experts" in said
    assert "of 4 methods" in texts(app.caption) or "All 4 methods" in texts(app.caption)


def test_columns_of_equal_runs_have_different_labels(two):
    copy_run(two, two.path.parent / "third", method="coop", seed=4)
    app = tried(two, beside=["second", "third"])
    said = html(app)
    assert "second</div>" in said
    assert "third</div>" in said
    assert "more than the method: seed" in texts(app.caption)


@pytest.mark.long
def test_a_link_restores_the_choice(two):
    app = tried(two, beside=["second"])
    assert app.multiselect(key=state.BESIDE).value == ["second"]
    assert "no training" not in html(app)
    app = tried(two, beside=[""])
    assert app.multiselect(key=state.BESIDE).value == []
    assert "no training" not in html(app)
    app.multiselect(key=state.BESIDE).set_value([":zero-shot"]).run()
    assert not app.exception
    assert app.query_params["beside"] == ":zero-shot"
    assert html(app).count("no training") == 1


def test_a_run_that_is_gone_is_named(two):
    app = tried(two, beside=["never", "second"])
    assert "never is not shown: it was deleted" in texts(app.caption)
    assert app.multiselect(key=state.BESIDE).value == ["second"]


def test_the_dialog_of_an_image_has_the_row_too(two):
    item = load_dataset("details").items("test", [0])[0].id
    app = open_page(PAGE, run=two.name, image=item, beside=["second"])
    assert not app.exception
    assert not app.error
    assert "CoOp</div>" in html(app)


@pytest.mark.long
def test_an_upload_has_the_row_too(two):
    buffer = io.BytesIO()
    Image.new("RGB", (50, 40), "red").save(buffer, "PNG")
    app = tried(two, source=FILES)
    app.get("file_uploader")[0].set_value([("m.png", buffer.getvalue(), "image/png")]).run()
    assert not app.exception
    assert "Zero-shot</div>" in html(app)
    assert "methods" in texts(app.caption)


def test_runs_of_other_data_are_not_offered(two):
    copy_run(two, two.path.parent / "third", data="faces")
    app = tried(two, beside=["third"])
    assert "third" not in app.multiselect(key=state.BESIDE).options
    assert "third is not shown" in texts(app.caption)


def test_a_run_deleted_while_the_row_is_drawn(two, monkeypatch):
    whole = view.run_column

    def deleted_first(run, image, labels=None, label="", seen_by=None):
        if run.name == "second":
            shutil.rmtree(run.path, ignore_errors=True)
        return whole(run, image, labels, label, seen_by)

    monkeypatch.setattr(view, "run_column", deleted_first)
    app = tried(two, beside=["second", ":zero-shot"])
    assert "is not a complete run" in html(app)
    assert "Zero-shot</div>" in html(app)
    assert not app.error


def test_a_method_without_an_answer_keeps_its_column(two, monkeypatch):
    def refuse(*arguments):
        raise UserError("It has <b>no</b> answer.")

    monkeypatch.setattr(view.answer_caches, "untrained", refuse)
    app = tried(two)
    assert "It has &lt;b&gt;no&lt;/b&gt; answer." in html(app)
