"""Many visitors at once on one server: `python -m tests.browser.load --pages 20 --minutes 10`.

Each visitor has a browser context of its own in one Chromium, and looks at pages, uploads pictures
and moves maps; some train. One client is slow: it opens connections and hardly reads. Prints what
failed, medians and 95 % marks, and the server's memory. The exit code is 1 after a failure.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.conftest import ARGUMENTS
from tests.browser.measure import RUN, server
from tests.support.image_files import picture_bytes

PATIENCE = 300_000  # milliseconds; what is waited for is a state of the page
TRAINERS = 2  # visitors that also train; the queue would only grow with more
SETTLED = (
    "() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
    " && document.querySelector('h1')"
)
MOST_GROWTH = 0.10


@dataclass
class Seen:
    """What all visitors have seen so far."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: list[str] = field(default_factory=list)
    memory: list[tuple[int, int]] = field(default_factory=list)
    """Interactions so far, and the server's bytes then."""

    @property
    def interactions(self) -> int:
        """How many there were."""
        return sum(map(len, self.seconds.values()))


Act = Callable[[Page, str, random.Random], Awaitable[object]]


async def settled(page: Page) -> None:
    """Waits until the page has run to its end; fails if it shows a traceback."""
    await page.wait_for_function(SETTLED)
    if await page.get_by_test_id("stException").count():
        shown = await page.get_by_test_id("stException").first.inner_text()
        raise RuntimeError(f"a traceback: {shown[:200]}")


async def look(page: Page, address: str, dice: random.Random) -> None:
    """Opens a page anew."""
    name = dice.choice(("", "data", "compare", f"routing?run={RUN}", "overfitting_lab"))
    await page.goto(f"{address}/{name}")
    await settled(page)


async def route(page: Page, address: str, dice: random.Random) -> None:
    """Opens the gallery of one style."""
    style = dice.choice(("sketch", "photo", "dark"))
    await page.goto(f"{address}/routing?run={RUN}&style={style}")
    await settled(page)


async def upload(page: Page, address: str, dice: random.Random) -> None:
    """Uploads a picture and waits for its routing."""
    await page.goto(f"{address}/routing?run={RUN}&view=Try+a+picture&source=My+files")
    await settled(page)
    given = page.locator("input[type=file]").first
    await given.wait_for(state="attached")
    name = f"{dice.randrange(10**9)}.png"
    file = {"name": name, "mimeType": "image/png", "buffer": picture_bytes(name)}
    await given.set_input_files(file)
    await page.get_by_text(name).first.wait_for()
    await page.get_by_role("img", name="The changed picture").wait_for()
    await settled(page)


async def draw_map(page: Page, address: str, dice: random.Random) -> None:
    """Opens the map of prompts by principal components."""
    await page.goto(f"{address}/prompt_space?run={RUN}&map=PCA")
    await page.locator(".js-plotly-plot").first.wait_for()
    await settled(page)


async def train(page: Page, address: str, dice: random.Random) -> None:
    """Starts a short training, or joins the queue, and waits until the page says so."""
    await page.goto(f"{address}/train?data=details&shots=1&seed={dice.randrange(10**6)}")
    await settled(page)
    button = page.get_by_role("button", name="Start training").or_(
        page.get_by_role("button", name="Add to the queue")
    )
    await button.click()
    began = page.get_by_text(re.compile("Epoch .* of|Starting|waiting|Test accuracy"))
    await began.filter(visible=True).first.wait_for()  # a closed part of the form has "Epochs"


ACTS: dict[str, Act] = {"page": look, "gallery": route, "upload": upload, "map": draw_map}


async def visit(
    browser: Browser, address: str, seed: int, seen: Seen, end: float, trains: bool
) -> None:
    """Does one thing after another until the time is over."""
    dice = random.Random(seed)
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    page.set_default_timeout(PATIENCE)
    acts = ACTS | ({"training, start": train} if trains else {})
    while time.monotonic() < end:
        name = dice.choice(list(acts))
        began = time.monotonic()
        try:
            await acts[name](page, address, dice)
        except Exception as error:  # whatever it is, the others go on, and it is told at the end
            seen.failures.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
            continue
        seen.seconds[name].append(time.monotonic() - began)
    await context.close()


async def crawl(address: str, end: float) -> None:
    """Is a slow client: it asks for the app, one byte at a time, and hardly reads."""
    host, _, port = address.removeprefix("http://").partition(":")
    while time.monotonic() < end:
        _, writer = await asyncio.open_connection(host, int(port))
        for sign in b"GET / HTTP/1.1\r\nHost: slow\r\nX: " + b"y" * 30:
            writer.write(bytes([sign]))
            await asyncio.sleep(0.5)
            if time.monotonic() > end:
                break
        writer.close()


async def watch(process: psutil.Process, seen: Seen, end: float) -> None:
    """Notes the server's memory every few seconds."""
    while time.monotonic() < end:
        seen.memory.append((seen.interactions, process.memory_info().rss))
        await asyncio.sleep(2)


async def load(address: str, process: psutil.Process, pages: int, minutes: float) -> Seen:
    """Returns what all visitors have seen."""
    seen, end = Seen(), time.monotonic() + 60 * minutes
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        visitors = [
            visit(browser, address, number, seen, end, number < TRAINERS)
            for number in range(pages)
        ]
        await asyncio.gather(*visitors, crawl(address, end), watch(process, seen, end))
        await browser.close()
    return seen


def growth(memory: list[tuple[int, int]]) -> float:
    """Returns by what share the memory grew between the first third and the last of a run.

    The first third is a start: pages are visited for the first time, and caches fill.
    """
    third = max(1, len(memory) // 3)
    middle, last = memory[third : 2 * third] or memory, memory[-third:]
    before, after = (statistics.median(size for _, size in part) for part in (middle, last))
    return after / before - 1


def main() -> int:
    """Prints a table; returns 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10.0)
    asked = parser.parse_args()
    print(f"load before: {os.getloadavg()}, cores: {os.cpu_count()}")
    with tempfile.TemporaryDirectory() as name:
        os.environ["MOCOOP_DATA"] = str(Path(name) / "data")
        with server(Path(name)) as (address, process, _):
            seen = asyncio.run(load(address, process, asked.pages, asked.minutes))
            alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    print("| what | median | 95 % below | times |\n|---|---:|---:|---:|")
    for what, values in seen.seconds.items():
        ordered = sorted(values)
        print(
            f"| {what} | {statistics.median(ordered):.2f} s | "
            f"{ordered[int(0.95 * (len(ordered) - 1))]:.2f} s | {len(ordered)} |"
        )
    grown = growth(seen.memory) if seen.memory else 0.0
    first, last = seen.memory[0][1], seen.memory[-1][1]
    print(
        f"\n{asked.pages} pages, {asked.minutes:g} minutes, {seen.interactions} interactions; "
        f"memory {first / 2**20:.0f} to {last / 2**20:.0f} MiB, {100 * grown:+.1f} % from the "
        f"second third to the last (aim: within {100 * MOST_GROWTH:.0f} %)"
    )
    for failure in seen.failures:
        print(f"failed: {failure}")
    if not alive:
        print("failed: the server has ended")
    print(f"load after: {os.getloadavg()}")
    return int(bool(seen.failures) or not alive or grown > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
