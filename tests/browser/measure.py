"""Measures how quickly the app answers, in a real browser: `python -m tests.browser.measure`.

Prints medians beside what is aimed at. It uses the run that ships with the project, folders of
its own, and whatever else the machine is doing: the load is printed too.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from playwright.sync_api import Page, sync_playwright

from mocoop.analysis.projection import MapSettings, projection_of
from mocoop.runs.run import open_run
from tests.browser.conftest import ARGUMENTS, ROOT, free_port, wait_for
from tests.browser.measure_answers import methods_beside, typed_prompts, uploads
from tests.browser.steps import settled
from tests.browser.timing import timed
from tests.support.image_files import picture_bytes

RUN = "albums-mocoop-16shot"
KINDS = 16  # interactions of one turn: see mixed_interactions
PAGES = ("Train", "Routing", "Prompt space", "Home")


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, psutil.Process, float]]:
    """Yields address, process and time of start of an app that was started just now."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
    command += ["--server.headless", "true", "--server.port", str(port)]
    folders = {"MOCOOP_RUNS": str(folder / "runs"), "MOCOOP_CACHE": str(folder / "cache")}
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | folders, stdout=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/_stcore/health")
        yield address, psutil.Process(process.pid), began
    finally:
        process.kill()
        process.wait(20)


def first_home(browser, folder: Path) -> float:
    """Returns the seconds from the server's start to a Home that can be used."""
    with server(folder) as (address, _, began):
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto(address)
        page.get_by_text("Mixed answer").wait_for()
        page.get_by_role("button", name="Explore a finished run").wait_for()
        settled(page)
        spent = time.perf_counter() - began
        page.close()
        return spent


def default_trainings(browser, folder: Path, pause: float) -> list[float]:
    """Returns the seconds from a click to the result, for two trainings with default settings.

    Each has its own seed. Server and cache are new, so the first has to encode all images.

    Args:
        browser: the browser.
        folder: a folder that is empty or does not exist.
        pause: seconds between the page and the first click, as somebody reads the form.
    """
    found = []
    folder.mkdir(parents=True)
    with server(folder) as (address, _, _):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        for seed in (1, 2):
            page.goto(f"{address}/train?seed={seed}")
            button = page.get_by_role("button", name="Start training")
            button.wait_for()
            settled(page)
            time.sleep(pause)
            began = time.perf_counter()
            button.click()
            page.get_by_text(re.compile("Epoch .* of|Starting")).first.wait_for()
            page.get_by_test_id("stMetric").get_by_text("Test accuracy").first.wait_for()
            found.append(time.perf_counter() - began)
        page.close()
    return found


def switches(page: Page, rounds: int) -> list[float]:
    """Returns the seconds that changes of page take once every page has been seen."""
    found = []
    for number in range(rounds + 1):
        for name in PAGES:
            title = "MoCoOp" if name == "Home" else name
            seen = f"document.querySelector('h1')?.innerText.startsWith('{title}')"
            link = page.get_by_role("link", name=name, exact=True)
            spent = timed(page, link.click, seen)
            if number > 0:
                found.append(spent)
    return found


def choose_style(page: Page, style: str) -> float:
    """Returns the seconds from the choice of a style to its images."""
    page.get_by_role("combobox", name="True style").click()
    option = page.get_by_role("option", name=style, exact=True)
    option.wait_for()
    alt = f"document.querySelector('[data-testid=stMain] img[alt$=\", {style}\"]')"
    return timed(page, option.click, alt)


def move_slider(page: Page, key: str) -> float:
    """Returns the seconds from a key on the first slider to the picture and routing it gives."""
    picture = page.get_by_role("img", name="The changed picture")
    before = picture.get_attribute("src")
    slider = page.get_by_role("slider").first
    slider.focus()
    changed = f"document.querySelector('img[alt=\"The changed picture\"]').src.indexOf('{before}')"
    return timed(page, lambda: slider.press(key), f"{changed} < 0")


def choose_map(page: Page, method: str) -> float:
    """Returns the seconds from the choice of a method to its map."""
    words = "document.querySelector('[data-testid=stMain]').innerText"
    before = re.search(r"hard prompts ([\d.]+)", page.get_by_test_id("stMain").inner_text())
    other = f"!{words}.includes('hard prompts {before[1]} ')" if before else "true"
    button = page.get_by_role("radio", name=method, exact=True)
    return timed(page, button.click, other)


def interactions(page: Page, address: str, count: int) -> None:
    """Looks at galleries and moves sliders, over and over."""
    styles = ("sketch", "photo", "dark")
    for number in range(count):
        kind = number % 8
        if kind == 0:
            page.goto(f"{address}/routing?run={RUN}")
            settled(page)
        elif kind < 4:
            choose_style(page, styles[kind - 1])
        elif kind == 4:
            page.goto(f"{address}/routing?run={RUN}&view=Try+a+picture")
            page.get_by_role("slider").first.wait_for()
            settled(page)
        else:
            move_slider(page, "ArrowRight")


def mixed_interactions(page: Page, address: str, turns: range) -> None:
    """Does what visitors do, in turns: galleries, sliders, uploads, maps and other pages."""
    for number in turns:
        interactions(page, address, 8)
        page.goto(f"{address}/routing?run={RUN}&view=Try+a+picture&source=My+files")
        given = page.locator("input[type=file]").first
        given.wait_for(state="attached")
        settled(page)
        name = f"{number}.png"
        buffer = picture_bytes(name)
        given.set_input_files({"name": name, "mimeType": "image/png", "buffer": buffer})
        page.get_by_text(name).first.wait_for()
        page.get_by_role("img", name="The changed picture").wait_for()
        settled(page)
        page.goto(f"{address}/prompt_space?run={RUN}")
        page.get_by_text("Trustworthiness").wait_for()
        settled(page)
        for method in ("UMAP", "PCA"):
            page.get_by_role("radio", name=method, exact=True).click()
            settled(page)
        for name in ("Train", "Compare", "Data", "Home"):
            page.get_by_role("link", name=name, exact=True).click()
            page.wait_for_url(f"**/{'' if name == 'Home' else name.lower()}*")
            settled(page)


def memory(browser, folder: Path, count: int) -> None:
    """Prints the server's memory over many interactions of all kinds; fails if it grows."""
    each = -(-count // (10 * KINDS))  # turns between two looks at the memory
    with server(folder) as (address, process, _):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        page.goto(address)
        page.get_by_text("Mixed answer").wait_for()
        sizes = []
        for step in range(10):
            turns = range(step * each, (step + 1) * each)
            mixed_interactions(page, address, turns)
            sizes.append(process.memory_info().rss / 2**20)
            print(f"{KINDS * turns.stop} interactions: {sizes[-1]:.0f} MiB", flush=True)
        page.close()
    growth = 100 * (sizes[-1] / sizes[0] - 1)
    print(f"growth after the first tenth: {growth:+.1f} % (aim: below 10 %)")
    if growth > 10:
        raise SystemExit(1)


def answers(browser, folder: Path, rounds: int) -> None:
    """Prints the times of the answers that a reader of the app waits for most often."""
    with server(folder) as (address, _, _):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        page.goto(address)
        page.get_by_text("Mixed answer").wait_for()
        row("change of page", switches(page, rounds), 0.3)
        row("typed prompt to its scores", typed_prompts(page, address, RUN, 2 * rounds), 0.3)
        row("five methods side by side", methods_beside(page, address, RUN, 2 * rounds), 0.5)
        spent = uploads(page, address, RUN, folder / "uploads", 3)
        row("100 uploads to their table", spent, 10)
        page.close()


def row(what: str, values: list[float], aim: float) -> None:
    """Prints a median beside what is aimed at."""
    middle = statistics.median(values)
    worst = max(values)
    print(f"| {what} | {middle:.2f} s | {worst:.2f} s | {len(values)} | {aim:g} s |", flush=True)


def main() -> None:
    """Prints a table of medians and the growth of the server's memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--interactions", type=int, default=200)
    parser.add_argument("--trainings", action="store_true", help="measure only the trainings")
    parser.add_argument(
        "--answers",
        action="store_true",
        help="measure only changes of page, typed prompts, methods side by side and uploads",
    )
    parser.add_argument(
        "--memory", action="store_true", help="measure only memory, over interactions of all kinds"
    )
    asked = parser.parse_args()
    print(f"load before: {os.getloadavg()}, cores: {os.cpu_count()}\n")
    print("| what | median | worst | times | aim |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        chromium = "/usr/bin/chromium"
        browser = driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        if asked.memory:
            memory(browser, folder, asked.interactions)
            return
        if asked.answers:
            answers(browser, folder, asked.rounds)
            return
        if not asked.trainings:
            starts = [first_home(browser, folder) for _ in range(3)]
            row("server start to a usable Home", starts, 5)
        for pause in (0, 15):
            parts = [
                default_trainings(browser, folder / f"training-{pause}-{number}", pause)
                for number in range(3)
            ]
            told = f"default training, click to result, {pause} s after the page was opened"
            row(told, [part[0] for part in parts], 15)
            row("the same, each further one", [spent for part in parts for spent in part[1:]], 15)
        if asked.trainings:
            return
        with server(folder) as (address, process, _):
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.set_default_timeout(120_000)
            page.goto(address)
            page.get_by_text("Mixed answer").wait_for()
            row("change of page", switches(page, asked.rounds), 0.3)
            page.goto(f"{address}/routing?run={RUN}")
            page.get_by_role("combobox", name="True style").wait_for()
            settled(page)
            styles = ["sketch", "photo"] * asked.rounds
            row("gallery filter", [choose_style(page, style) for style in styles], 0.5)
            page.goto(f"{address}/routing?run={RUN}&view=Try+a+picture")
            page.get_by_role("slider").first.wait_for()
            settled(page)
            keys = ["ArrowRight"] * 2 * asked.rounds
            row("slider to new routing", [move_slider(page, key) for key in keys], 0.3)
            os.environ["MOCOOP_CACHE"] = str(folder / "cache")
            made = projection_of(open_run(RUN), MapSettings("umap", 2))
            page.goto(f"{address}/prompt_space?run={RUN}")
            page.get_by_text("Trustworthiness").wait_for()
            settled(page)
            maps = [choose_map(page, method) for method in ("UMAP", "PCA") * asked.rounds]
            row(f"map of {len(made.points.kind)} points, from disk", maps[:1], 1)
            row("the same, shown again", maps[2:], 1)
            interactions(page, address, 40)
            before = process.memory_info().rss
            interactions(page, address, asked.interactions)
            after = process.memory_info().rss
        browser.close()
    growth = 100 * (after / before - 1)
    print(
        f"\nmemory over {asked.interactions} interactions: {before / 2**20:.0f} MiB to "
        f"{after / 2**20:.0f} MiB, {growth:+.1f} % (aim: below 10 %)"
    )
    print(f"load after: {os.getloadavg()}")


if __name__ == "__main__":
    main()
