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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.jobs.federations import cancel_federation
from app.jobs.trainings import cancel_run
from mocoop.runs.paths import FEDERATED
from mocoop.runs.run import Run
from mocoop.runs.status import STATUS_FILE

ROOT = Path(__file__).resolve().parents[2]
LOG_LINES, PAGE_LENGTH = 60, 6000  # of what a failure shows
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A camera that shows moving circles, and leave to use it.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test of this folder as a long one."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.long)


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
    log: Path
    runs: Path
    """The folder of its runs."""

    def report(self) -> str:
        """Returns whether the server still runs, and the last that it printed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        state = "running" if self.process.poll() is None else f"ended: {self.process.returncode}"
        return "\n".join([f"server {self.address} ({state}) printed last:", *lines])

    def stop(self) -> None:
        """Ends the server at once, as a crash or a restart would."""
        self.process.kill()
        self.process.wait(20)


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """A folder of image features that all apps share: each image is encoded only once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def start_app(tmp_path, cache) -> Iterator[Callable[[], Server]]:
    """A function that starts the app, always on the same folders of this test's own."""
    with _apps(tmp_path, cache) as start:
        yield start


@pytest.fixture(scope="module")
def one_app(tmp_path_factory, cache) -> Iterator[Server]:
    """An app that the tests of a file share, which spares them its slow first answers."""
    with _apps(tmp_path_factory.mktemp("app"), cache) as start:
        yield start()


@contextmanager
def _apps(folder: Path, cache: Path) -> Iterator[Callable[[], Server]]:
    """Yields a function that starts the app on folders within one, and stops all of it then."""
    started: list[Server] = []

    def start() -> Server:
        port = free_port()
        command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
        command += ["--server.headless", "true", "--server.port", str(port)]
        folders = {f"MOCOOP_{name.upper()}": str(folder / name) for name in ("runs", "data")}
        folders["MOCOOP_CACHE"] = str(cache)
        folders["MOCOOP_STANDBY"] = "0"  # it would take time from the tests
        # A native crash leaves the stack of every thread in the log.
        environment = os.environ | folders | {"PYTHONFAULTHANDLER": "1"}
        path = folder / f"server-{port}.txt"
        with path.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        runs = folder / "runs"
        started.append(Server(f"http://127.0.0.1:{port}", process, path, runs))
        wait_for(f"{started[-1].address}/_stcore/health")
        return started[-1]

    try:
        yield start
    finally:
        # What is printed here is shown when the test (of a file: its last one) failed.
        for server in started:
            print(server.report())
        for run in (folder / "runs").glob(f"*/{STATUS_FILE}"):
            cancel_run(Run(run.parent), patience=2)
        for federation in (folder / "runs").glob(f"{FEDERATED}/*/{STATUS_FILE}"):
            cancel_federation(federation.parent, patience=2)
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
        told = listen(page)
        yield page
        print("browser:", *told, page_report(page), sep="\n")
        browser.close()


def listen(page) -> list[str]:
    """Returns a list that grows by what goes wrong in a page, as lines with the time."""
    told: list[str] = []

    def tell(kind: str, text: object) -> None:
        told.append(f"{time.strftime('%H:%M:%S')} {kind}: {text}")

    def on_console(message) -> None:
        if message.type in ("error", "warning"):
            tell(f"console {message.type}", message.text)

    def on_socket(socket) -> None:
        tell("socket opened", socket.url)
        socket.on("close", lambda _: tell("socket closed", socket.url))
        socket.on("socketerror", lambda error: tell("socket error", error))

    def on_failure(request) -> None:
        if request.failure != "net::ERR_ABORTED":  # which a page that moves on leaves behind
            tell("request failed", f"{request.url} {request.failure}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: tell("page error", error.stack or error))
    page.on("crash", lambda _: tell("crash", "the tab is gone"))
    page.on("requestfailed", on_failure)
    page.on("websocket", on_socket)
    return told


def page_report(page) -> str:
    """Returns the address of a page, the state of its script, and what it shows, in words."""
    from playwright.sync_api import Error

    try:
        app = page.locator("[data-testid=stApp]")
        running = app.get_attribute("data-test-script-state") if app.count() else "gone"
        shown = page.locator("body").aria_snapshot(timeout=2000)
    except Error as error:  # of a tab that has crashed, say; the test's own failure counts
        return f"{page.url}: {error}"
    return f"{page.url}, script {running}\n{shown[:PAGE_LENGTH]}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(address: str, seconds: float = 60) -> None:
    """Returns when the server answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < end, f"no answer from {address}"
            time.sleep(0.2)
