"""Fixtures for tests of the app: a folder of runs that is empty, or that holds one run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from mocoop.config import TrainConfig
from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.storage.cache_folder import default_cache

APP = Path(__file__).resolve().parents[2] / "streamlit_app.py"


def tiny_config(**changes: object) -> TrainConfig:
    """Returns settings that train in about a second."""
    return replace(preset("mocoop"), data="details", epochs=2, shots=2, **changes)


def open_page(page: str, /, **query: str) -> AppTest:
    """Returns a page of the app after its first run, opened with parameters in the address."""
    app = AppTest.from_file(str(APP), default_timeout=120)
    app.run()
    for name, value in query.items():
        app.query_params[name] = value
    return app.switch_page(page).run()


@pytest.fixture
def empty_runs(workspace, tmp_path, monkeypatch) -> Path:
    """An empty folder of runs; image features still come from the session's cache."""
    folder = tmp_path / "runs"
    folder.mkdir()
    monkeypatch.setenv("MOCOOP_RUNS", str(folder))
    for module in ("run", "paths"):
        monkeypatch.setattr(f"mocoop.runs.{module}.shipped_runs", lambda: tmp_path / "shipped")
    st.cache_resource.clear()
    st.cache_data.clear()
    return folder


@pytest.fixture
def one_run(finished_run, empty_runs) -> Run:
    """A folder of runs that holds one finished run, of which no map is in the cache."""
    shutil.rmtree(default_cache() / "projections", ignore_errors=True)
    shutil.copytree(finished_run.path, empty_runs / finished_run.name)
    return Run(empty_runs / finished_run.name)
