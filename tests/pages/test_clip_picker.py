"""Train: the choice of a CLIP, in every state of its download."""

from __future__ import annotations

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from app.common.access import EXPLAINED
from app.jobs import downloads, trainings
from app.jobs.download_worker import DownloadStatus
from app.train import words
from app.train.settings import setting_key
from mocoop.clip.backbone import load_backbone
from mocoop.clip.hub import download
from mocoop.clip.known import KNOWN_CLIPS, weights_of
from mocoop.config import TrainConfig
from mocoop.presets import preset
from mocoop.runs.status import CANCELLED, FAILED, INTERRUPTED, RUNNING
from tests.support.hub_server import NAME
from tests.support.page_fixtures import APP, open_page

PAGE = "pages/train.py"


@pytest.fixture
def called(empty_runs, hub_cache, monkeypatch) -> list[str]:
    """Collects what the page downloads and cancels, and does neither."""
    names: list[str] = []
    for function in ("start_download", "cancel_download"):
        monkeypatch.setattr(
            downloads, function, lambda name, what=function: names.append(f"{what} {name}")
        )
    return names


def choose(name: str = NAME):
    app = open_page(PAGE)
    clip(app).set_value(name).run()
    assert not app.exception
    return app


def clip(app):
    return next(widget for widget in app.selectbox if widget.label == "CLIP")


def shown(app) -> str:
    kinds = ("markdown", "caption", "info", "warning", "error")
    return "\n".join(element.value for kind in kinds for element in app.get(kind))


def keys(app) -> set[str]:
    return {button.key for button in app.button}


def with_status(monkeypatch, state: str, **values) -> None:
    status = DownloadStatus(state, **values)
    monkeypatch.setattr(downloads, "status_of", lambda name: status)


def test_the_built_in_clip_needs_nothing(called):
    app = open_page(PAGE)
    assert clip(app).value == "demo"
    assert not {"download clip", "cancel clip"} & keys(app)


def test_a_missing_one_is_offered_with_its_facts(called):
    app = choose()
    text = shown(app)
    assert "150 million parameters · images of 224 × 224 pixels" in text
    assert "download about 598 MB" in text
    assert f"[apache-2.0](https://huggingface.co/{weights_of(NAME).repository})" in text
    assert words.MISSING in text
    app.button(key="download clip").click().run()
    assert called == [f"start_download {NAME}"]


def test_one_on_this_machine_is_not_offered(empty_runs, hub_server):
    download(weights_of(NAME))
    app = choose()
    assert words.HERE in shown(app)
    assert "download clip" not in keys(app)


def test_the_progress_is_shown_and_can_be_cancelled(called, monkeypatch):
    with_status(monkeypatch, RUNNING, received=150_000_000, total=600_000_000)
    monkeypatch.setattr(DownloadStatus, "active", True)
    app = choose()
    texts = [element.proto.text for element in app.get("progress")]
    assert texts == ["150 MB of 600 MB"]
    app.button(key="cancel clip").click().run()
    assert called == [f"cancel_download {NAME}"]


def test_a_cancelled_one_can_start_again(called, monkeypatch):
    with_status(monkeypatch, CANCELLED)
    app = choose()
    assert words.DOWNLOAD_CANCELLED in shown(app)
    assert "download clip" in keys(app)


@pytest.mark.parametrize("state", [FAILED, INTERRUPTED])
def test_a_failure_is_told_and_can_start_again(called, monkeypatch, state):
    with_status(monkeypatch, state, message="the *disk* is full.")
    app = choose()
    assert app.warning[0].value == "The download stopped: the \\*disk\\* is full."
    assert "download clip" in keys(app)


def test_a_download_that_cannot_start_is_told_in_words(empty_runs, hub_cache, monkeypatch):
    """The button is in a fragment, whose errors Streamlit shows by itself."""
    app = choose()
    (hub_cache.parent / "cache").write_text("a file where the folder should be")
    app.button(key="download clip").click().run()
    assert not app.exception
    assert "Remove the file in its place, or set MOCOOP_CACHE" in app.error[0].value


def test_without_an_answer_the_page_says_what_to_do(called, monkeypatch):
    with_status(monkeypatch, FAILED, message="no answer", offline=True)
    app = choose()
    assert "hf download timm/vit_base_patch16_clip_224.openai" in app.info[0].value
    assert "copy the folder `models--timm--vit_base_patch16_clip_224.openai`" in app.info[0].value
    assert "download clip" in keys(app)


def test_where_the_hub_is_switched_off_nothing_is_offered(called, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    app = choose()
    assert app.info[0].value.startswith("**Offline.**")
    assert "download clip" not in keys(app)


def test_visitors_of_a_read_only_site_choose_nothing(called, monkeypatch):
    monkeypatch.setenv("MOCOOP_READ_ONLY", "1")
    app = open_page(PAGE)
    assert EXPLAINED in shown(app)
    assert not [widget for widget in app.selectbox if widget.label == "CLIP"]
    assert not {"download clip", "cancel clip"} & keys(app)


def test_the_dialog_lists_every_clip(called):
    app = choose()
    button = next(one for one in app.button if one.label == words.WHICH_CLIP)
    button.click().run()
    assert not app.exception
    text = shown(app)
    assert all(f"`{name}`" in text for name in KNOWN_CLIPS)


def test_another_name_can_be_typed(called):
    app = AppTest.from_file(str(APP), default_timeout=120).run()
    app.session_state[setting_key("backbone")] = "ViT-B-16/openai"
    app.switch_page(PAGE).run()
    assert not app.exception
    assert "Use ViT-B-16-quickgelu/openai" in app.error[0].value


def test_the_training_uses_the_chosen_clip(called, monkeypatch):
    started: list[TrainConfig] = []
    monkeypatch.setattr(trainings, "start_run", started.append)
    app = choose()
    app.button(key="start").click().run()
    assert started == [preset("mocoop", NAME)]
    assert started != [replace(preset("mocoop"), backbone=NAME)]  # but the published settings


def test_facts_of_the_built_in_clip_are_those_of_its_weights():
    demo = load_backbone("demo")
    millions = sum(parameter.numel() for parameter in demo.model.parameters()) / 1e6
    assert words.DEMO_FACTS[1] == f"{millions:.0f} million"
    height, width = demo.model.visual.image_size
    assert words.DEMO_FACTS[2] == f"{height} × {width}"
