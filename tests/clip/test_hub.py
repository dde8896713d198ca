"""Weights that cannot be had are told at once, not after many tries."""

from __future__ import annotations

import ssl
from urllib.error import HTTPError, URLError

import pytest
from open_clip.factory import load_state_dict

from mocoop.clip import backbone, hub
from mocoop.errors import UserError

NAME = "ViT-B-16-quickgelu/openai"
SETTINGS = {"hf_hub": "timm/vit_base_patch16_clip_224.openai/"}


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    """An empty folder in the place of the hub's own cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def answers(monkeypatch, error: Exception | None) -> None:
    class Answer:
        def __enter__(self):
            if error is not None:
                raise error

        def __exit__(self, *arguments):
            pass

    monkeypatch.setattr(hub, "urlopen", lambda address, timeout: Answer())


def test_nothing_is_tried_without_an_answer(no_cache, monkeypatch):
    """The hub's client would try a dozen times, for three quarters of a minute."""
    tried: list[str] = []
    monkeypatch.setattr("open_clip.create_model", lambda name, **options: tried.append(name))
    with pytest.raises(
        UserError, match=r"file of these weights, ViT-B-16-quickgelu/FILE\.safetens"
    ):
        backbone.load_backbone(NAME)
    assert tried == []


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_damaged_weights_are_named(no_cache, monkeypatch, name, content):
    """A disk was full, say: the error tells where they are, and how to have them again."""
    folder = no_cache / "models--timm--vit_base_patch16_clip_224.openai"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("a1")
    file = folder / "snapshots" / "a1" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    monkeypatch.setattr(
        "open_clip.create_model", lambda *names, **options: load_state_dict(str(file))
    )
    with pytest.raises(UserError, match=f"cannot be read: .*Delete the folder {folder}, and"):
        backbone.load_backbone(NAME)


@pytest.mark.parametrize(
    "error",
    [
        None,
        HTTPError("https://hub", 403, "Forbidden", None, None),
        URLError(ssl.SSLError("a certificate of the company's own")),
    ],
)
def test_any_answer_will_do(no_cache, monkeypatch, error):
    answers(monkeypatch, error)
    hub.check_available(SETTINGS)  # raises nothing


def test_a_hub_that_is_switched_off_is_not_asked(no_cache, monkeypatch):
    """HF_HUB_OFFLINE is for machines on which no connection may be opened, or none is answered."""
    asked: list[str] = []
    monkeypatch.setattr(hub, "urlopen", lambda address, timeout: asked.append(address))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="HF_HUB_OFFLINE is set"):
        hub.check_available(SETTINGS)
    assert asked == []


@pytest.mark.parametrize("error", [URLError("no such name"), TimeoutError("no answer")])
def test_no_answer_is_an_error(no_cache, monkeypatch, error):
    answers(monkeypatch, error)
    with pytest.raises(OSError, match=r"no such name|no answer"):
        hub.check_available(SETTINGS)


def test_what_was_fetched_before_needs_no_answer(no_cache):
    with pytest.raises(OSError, match="no network"):
        hub.check_available(SETTINGS)
    folder = no_cache / "models--timm--vit_base_patch16_clip_224.openai"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / "open_clip_model.safetensors").touch()
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    hub.check_available(SETTINGS)


def test_weights_from_elsewhere_are_left_to_open_clip(no_cache, monkeypatch):
    """Nobody is asked for them."""
    monkeypatch.setattr(hub, "urlopen", None)
    hub.check_available({"url": "https://example.org/weights.pt", "hf_hub": ""})
