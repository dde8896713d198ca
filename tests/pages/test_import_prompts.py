"""Prompts that another program trained come in on the Compare page, as by `mocoop import`."""

from __future__ import annotations

import io

import pytest
import torch

from app.common import state
from app.jobs import import_worker, imports
from mocoop.clip.backbone import load_backbone
from mocoop.datasets import load_dataset
from mocoop.runs.run import Run
from tests.exchange.test_import import coop_state, dassl_file, drawn
from tests.support.page_fixtures import open_page

PAGE, NAME = "pages/compare.py", "model.pth.tar-50"


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch, workspace):
    """The process that imports is this one, and done when the page asks for it."""
    monkeypatch.setattr(imports, "launch", import_worker.import_here)


@pytest.fixture(scope="module")
def prompts():
    """Returns a function that gives a CoOp prompt for the built-in CLIP as a state dict."""
    clip, names = load_backbone("demo"), list(load_dataset("details").class_names)
    return lambda names=names: coop_state(clip, drawn(4, clip.text.width), names)


def sent(app, content, data="details", name=NAME, groups=None):
    """Fills in the form and sends it."""
    app.file_uploader(key=state.PROMPTS_FILE).set_value((name, content, "application/x"))
    app.selectbox(key=state.PROMPTS_DATA).set_value(data)
    if groups is not None:
        app.file_uploader(key=state.PROMPTS_GROUPS).set_value(("groups.yaml", groups, "text/yaml"))
    (button,) = [button for button in app.button if button.label == "Import and test"]
    return button.click().run()


def said(elements):
    return " ".join(element.value for element in elements)


def test_a_checkpoint(empty_runs, prompts, tmp_path):
    """The run is as the command makes it, is listed, and the upload is gone."""
    file = dassl_file(tmp_path / NAME, prompts())
    app = sent(open_page(PAGE), file.read_bytes())
    assert not app.exception
    assert not app.error
    assert "Imported as `details-coop-16shot-seed1-001`" in said(app.success)
    run = Run(empty_runs / "details-coop-16shot-seed1-001")
    assert run.setup().imported == f"{NAME}, 50 epochs"
    assert run.name in app.dataframe[0].value["run"].tolist()
    assert 0 <= run.results()["all"]["accuracy"] <= 100


def test_what_the_file_leaves_open(empty_runs, prompts, tmp_path):
    """Notes of the import are shown on the page."""
    file = dassl_file(tmp_path / NAME, prompts(["cat", "dog"]))
    app = sent(open_page(PAGE), file.read_bytes())
    assert not app.exception
    assert "with other class names than those of details" in said(app.info)


def bytes_of(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "data", "groups", "sentence"),
    [
        (b"no checkpoint", "details", None, f"{NAME} is no file of weights"),
        (bytes_of({"ctx": torch.zeros(4, 999)}), "details", None, "tokens have 999 numbers"),
        (bytes_of({"a": torch.zeros(2)}), "details", None, f"{NAME} is no checkpoint of CoOp"),
        (bytes_of({"a": torch.zeros(2)}), "details", b"[1", "groups.yaml cannot be read"),
    ],
)
def test_what_does_not_fit_is_said(empty_runs, content, data, groups, sentence):
    """In a sentence, with the upload's name, and nothing is left behind."""
    app = sent(open_page(PAGE), content, data, groups=groups)
    assert not app.exception
    assert sentence in said(app.error)
    assert "mocoop-import-" not in said(app.error)
    assert not list(empty_runs.iterdir())


def test_a_public_site_takes_none(empty_runs, prompts, tmp_path, monkeypatch):
    """The form is not there, and what was sent before is refused."""
    content = dassl_file(tmp_path / NAME, prompts()).read_bytes()
    app = open_page(PAGE)
    app.file_uploader(key=state.PROMPTS_FILE).set_value((NAME, content, "application/x"))
    monkeypatch.setenv("MOCOOP_READ_ONLY", "1")
    (button,) = [button for button in app.button if button.label == "Import and test"]
    app = button.click().run()
    assert not app.exception
    assert not app.get("file_uploader")
    assert not list(empty_runs.iterdir())
