"""Measures what answers of the app cost: `python -m tests.browser.measure_cpu [--before FOLDER]`.

Prints the processor seconds of the server and of the browser for each interaction, and how many
kilobytes the server sends. Unlike the time by the clock, these hardly depend on what else the
machine is doing. That the browser is asked a hundred times a second whether it is done counts as
its own work. With `--before`, another checkout of the project is measured by turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from mocoop.analysis.projection import MapSettings, projection_of
from mocoop.runs.run import open_run
from tests.browser import measure, measure_answers
from tests.browser.conftest import ARGUMENTS, ROOT
from tests.browser.steps import settled

PAGES = ("Train", "Routing", "Prompt space", "Home")
QUIET_SECONDS, QUIET_SHARE, MOST_SECONDS = 0.2, 0.2, 4.0  # when an answer is drawn to its end


@dataclass
class Meter:
    """Notes what actions cost server and browser."""

    page: Page
    server: psutil.Process
    seen: dict[str, list[tuple[float, float, float]]]
    """Action → processor seconds of server and browser, kilobytes received, each time."""
    received: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        client = self.page.context.new_cdp_session(self.page)
        client.send("Network.enable")
        client.on("Network.webSocketFrameReceived", self._frame)
        client.on("Network.loadingFinished", lambda told: self._add(told["encodedDataLength"]))

    def _frame(self, told: dict) -> None:
        self._add(len(told["response"]["payloadData"]) * 3 // 4)  # it is in base64

    def _add(self, size: float) -> None:
        self.received.append(int(size))

    def costs(self, name: str, act: Callable[[], object]) -> None:
        """Does an action, waits until the browser is quiet, and notes what both did."""
        self.received.clear()
        before = cpu_of(self.server), browser_cpu()
        act()
        self.quiet()
        server, browser = cpu_of(self.server) - before[0], browser_cpu() - before[1]
        self.seen[name].append((server, browser, sum(self.received) / 1024))

    def quiet(self) -> None:
        """Returns when the browser has hardly anything left to do."""
        end = time.monotonic() + MOST_SECONDS
        busy = True
        while busy and time.monotonic() < end:
            before = browser_cpu() + cpu_of(self.server)
            self.page.wait_for_timeout(1000 * QUIET_SECONDS)  # events are read meanwhile
            spent = browser_cpu() + cpu_of(self.server) - before
            busy = spent > QUIET_SHARE * QUIET_SECONDS


def cpu_of(process: psutil.Process) -> float:
    """Returns the processor seconds of a process so far."""
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def browser_cpu() -> float:
    """Returns the processor seconds of all processes of Chromium that this one started."""
    total = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            if "chrom" in child.name():
                total += cpu_of(child)
        except psutil.Error:  # a process that has just ended
            continue
    return total


def start(browser: Browser, folder: Path, tree: Path, seen: dict) -> None:
    """Notes what it costs to start the server and to open Home."""
    measure.ROOT = tree
    with measure.server(folder) as (address, process, _):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        meter = Meter(page, process, defaultdict(list))
        before = browser_cpu()

        def open_home() -> None:
            page.goto(address)
            page.get_by_text("Mixed answer").wait_for(timeout=120_000)
            settled(page)

        meter.costs("start", open_home)
        size = meter.seen["start"][0][2]
        seen["start to Home"].append((cpu_of(process), browser_cpu() - before, size))
        page.close()


def answers(
    browser: Browser, folder: Path, tree: Path, seen: dict, rounds: int, only: str
) -> None:
    """Notes what the answers cost that a reader of the app waits for most often."""
    measure.ROOT = tree
    with measure.server(folder) as (address, process, _):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        page.goto(address)
        page.get_by_text("Mixed answer").wait_for()
        settled(page)
        meter = Meter(page, process, seen)
        meter.quiet()
        if only in "page":
            pages(meter, rounds)
        if only in "routing":
            routing(meter, address, rounds)
        if only in "map":
            maps(meter, address, rounds)
        page.close()


def pages(meter: Meter, rounds: int) -> None:
    """Notes changes of page, the first visits apart."""
    for number in range(rounds + 1):
        for name in PAGES:
            title = "MoCoOp" if name == "Home" else name
            ready = f"document.querySelector('h1')?.innerText.startsWith('{title}')"
            link = meter.page.get_by_role("link", name=name, exact=True)
            what = f"{name}, first visit" if number == 0 else f"to {name}"

            def act(link=link, ready=ready) -> None:
                measure.timed(meter.page, link.click, ready)

            meter.costs(what, act)


def routing(meter: Meter, address: str, rounds: int) -> None:
    """Notes answers of the Routing page."""
    page = meter.page
    page.goto(f"{address}/routing?run={measure.RUN}")
    page.get_by_role("combobox", name="True style").wait_for()
    settled(page)
    meter.quiet()
    for style in ["sketch", "photo"] * rounds:
        meter.costs("gallery filter", lambda style=style: measure.choose_style(page, style))
    page.goto(f"{address}/routing?run={measure.RUN}&view=Try+a+picture")
    page.get_by_role("slider").first.wait_for()
    settled(page)
    meter.quiet()
    for _ in range(2 * rounds):
        meter.costs("slider", lambda: measure.move_slider(page, "ArrowRight"))
    for what, act in (
        ("typed prompt", measure_answers.typed_prompts),
        ("five methods", measure_answers.methods_beside),
    ):
        # Each of these does its action several times; the page around it is opened once.
        act(page, address, measure.RUN, 0)
        meter.costs("open", lambda act=act: act(page, address, measure.RUN, 0))
        meter.costs("all", lambda act=act: act(page, address, measure.RUN, 2 * rounds))
        opened, done = meter.seen.pop("open")[0], meter.seen.pop("all")[0]
        each = (
            (after - before) / (2 * rounds) for before, after in zip(opened, done, strict=True)
        )
        meter.seen[what].append(tuple(each))


def maps(meter: Meter, address: str, rounds: int) -> None:
    """Notes changes of the map."""
    page = meter.page
    page.goto(f"{address}/prompt_space?run={measure.RUN}")
    page.get_by_text("Trustworthiness").wait_for()
    settled(page)
    meter.quiet()
    for number, method in enumerate(("UMAP", "PCA") * rounds):
        what = "map from disk" if number == 0 else "map, shown again"
        meter.costs(what, lambda method=method: measure.choose_map(page, method))


def table(seen: dict[str, dict[str, list[tuple[float, float, float]]]]) -> str:
    """Returns medians as Markdown: a row per interaction, three columns per checkout."""
    lines = [
        "| interaction |" + "".join(f" {name}: server, s | browser, s | kB |" for name in seen),
        "|---|" + "---:|---:|---:|" * len(seen),
    ]
    for what in next(iter(seen.values())):
        cells = []
        for found in seen.values():
            server, browser, size = (
                statistics.median(values) for values in zip(*found[what], strict=True)
            )
            cells.append(f" {server:.2f} | {browser:.2f} | {size:.0f} |")
        lines.append(f"| {what} |" + "".join(cells))
    return "\n".join(lines)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--before", type=Path, help="another checkout, measured by turns")
    parser.add_argument("--turns", type=int, default=2, help="servers of each checkout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="start, page, routing or map")
    asked = parser.parse_args()
    trees = ({"before": asked.before.resolve()} if asked.before else {}) | {"now": ROOT}
    seen: dict = {name: defaultdict(list) for name in trees}
    os.environ["MOCOOP_STANDBY"] = "0"  # it is measured with the trainings
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        os.environ["MOCOOP_CACHE"] = str(folder / "cache")
        projection_of(open_run(measure.RUN), MapSettings("umap", 2))
        for _ in range(asked.turns):
            for which, tree in trees.items():
                browser = driver.chromium.launch(
                    executable_path="/usr/bin/chromium", args=ARGUMENTS
                )
                if asked.only in "start":
                    start(browser, folder, tree, seen[which])
                if asked.only != "start":
                    answers(browser, folder, tree, seen[which], asked.rounds, asked.only)
                browser.close()
    print(table(seen))
    print(f"\nload: {os.getloadavg()}")


if __name__ == "__main__":
    main()
