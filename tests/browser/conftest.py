"""A running app and a real browser for the tests of whole journeys."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.jobs import cancel_run
from mocoop.runs import Run

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium; without it these tests are skipped, but not on a build server."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        reason = "no Chromium found: install the package chromium to run the browser tests"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@dataclass(frozen=True)
class Server:
    """A running app."""

    address: str
    process: subprocess.Popen

    def stop(self) -> None:
        """Ends the server at once, as a crash or a restart would."""
        self.process.kill()
        self.process.wait(20)


@pytest.fixture
def start_app(tmp_path) -> Iterator[Callable[[], Server]]:
    """A function that starts the app, always on the same folders of this test's own."""
    started: list[Server] = []

    def start() -> Server:
        port = _free_port()
        command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
        command += ["--server.headless", "true", "--server.port", str(port)]
        folders = {
            f"MOCOOP_{name.upper()}": str(tmp_path / name) for name in ("runs", "cache", "data")
        }
        with (tmp_path / f"server-{port}.txt").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | folders, stdout=log, stderr=subprocess.STDOUT
            )
        started.append(Server(f"http://127.0.0.1:{port}", process))
        _wait_for(f"{started[-1].address}/_stcore/health")
        return started[-1]

    yield start
    for run in (tmp_path / "runs").glob("*"):
        cancel_run(Run(run), patience=2)
    for server in started:
        server.stop()


@pytest.fixture
def browser_page(chromium) -> Iterator:
    """A page of a fresh browser, 1280 x 800."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)  # the first visit of a page imports torch
        yield page
        browser.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(address: str, seconds: float = 60) -> None:
    """Returns when the server answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < end, f"no answer from {address}"
            time.sleep(0.2)
