"""Fixtures that the tests share; nothing here needs the network."""

from __future__ import annotations

import open_clip
import pytest
import torch

from mocoop.clip.backbone import load_backbone, make_backbone
from tests.support.app_fixtures import finished_run, workspace
from tests.support.hub_server import hub_cache, hub_server
from tests.support.page_fixtures import empty_runs, one_run
from tests.support.routed_example import small_map
from tests.support.tiny import tiny_clip

# Fixtures of other files, for all tests.
__all__ = ["empty_runs", "finished_run", "hub_cache", "hub_server", "one_run", "workspace"]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Makes every download fail at once, so that no test can depend on the network."""

    def refuse(*args, **kwargs):
        raise OSError("no network in tests")

    for name in ("download_pretrained", "download_pretrained_from_hf"):
        monkeypatch.setattr(f"open_clip.factory.{name}", refuse)
    monkeypatch.setattr("mocoop.clip.hub.urlopen", refuse)


@pytest.fixture(autouse=True)
def no_standby(monkeypatch):
    """Lets no server start a process that stands by: it would take time from the tests."""
    monkeypatch.setenv("MOCOOP_STANDBY", "0")


@pytest.fixture(autouse=True)
def plain_processor(monkeypatch):
    """Leaves `precision auto` at fp32 whatever the processor can do: tests compare to the bit."""
    monkeypatch.setattr("mocoop.clip.device.processor_flags", frozenset)


@pytest.fixture(scope="session")
def tokenizer():
    """CLIP's own tokenizer."""
    return open_clip.SimpleTokenizer()


@pytest.fixture(scope="session")
def tiny_backbone(tokenizer):
    """A small random CLIP, frozen; tests must not change it."""
    return make_backbone("tiny", tiny_clip(), tokenizer, torch.device("cpu"))


@pytest.fixture(scope="session")
def demo_backbone():
    """The small CLIP that ships with the project."""
    return load_backbone("demo")


@pytest.fixture
def generator():
    """A seeded random generator on the CPU."""
    return torch.Generator().manual_seed(7)


@pytest.fixture
def projection():
    """A small map of soft prompts, hard prompts and prototypes."""
    return small_map()
