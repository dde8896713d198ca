"""How quickly the Routing page answers: a typed prompt, methods side by side, 100 uploads.

Used by `python -m tests.browser.measure --answers`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from playwright.sync_api import Page

from app.bench.words import button
from app.ui.words import YOUR_PROMPT
from mocoop.datasets import load_dataset
from tests.browser.steps import expect, settled
from tests.browser.timing import timed

WORDS = ("small", "large", "dark", "bright", "old", "new", "red", "blue", "grey", "round")
BESIDE = ".st-key-tiles-card-methods-closer"
METHODS = 5  # the run, zero-shot, ensemble, the other run of its data set, a typed prompt
UPLOADS = 100


def typed_prompts(page: Page, address: str, run: str, count: int) -> list[float]:
    """Returns the seconds from Enter to the scores of a typed prompt, each time another one."""
    page.goto(f"{address}/routing?run={run}&view=Type+a+prompt")
    box = page.get_by_role("textbox", name=YOUR_PROMPT)
    found = []
    for number in range(count + 1):
        first, second = WORDS[number % len(WORDS)], WORDS[number // len(WORDS)]
        template = f"a {first} picture of a {second} {{}}."
        box.wait_for()
        settled(page)
        box.fill(template)
        shown = f"document.querySelector('[data-testid=stMain]').innerText.includes('{template}')"
        spent = timed(page, lambda: box.press("Enter"), shown)
        if number > 0:
            found.append(spent)
    return found


def methods_beside(page: Page, address: str, run: str, count: int) -> list[float]:
    """Returns the seconds from a click on a picture to the answers of five methods to it."""
    page.goto(f"{address}/routing?run={run}&prompt=a+photo+of+a+small+{{}}.")
    looks = page.get_by_role("button", name="Look closer at image")
    looks.first.wait_for()
    settled(page)
    there = f"document.querySelectorAll('{BESIDE} > *').length === {METHODS}"
    found = []
    for number in range(count + 1):
        spent = timed(page, looks.nth(number % looks.count()).click, there)
        if number > 0:
            found.append(spent)
        page.keyboard.press("Escape")
        expect(page.locator(BESIDE)).to_have_count(0)
        settled(page)
    return found


def uploads(page: Page, address: str, run: str, folder: Path, count: int) -> list[float]:
    """Returns the seconds from the choice of 100 files, with one click, to their table."""
    dataset = load_dataset("albums")
    folder.mkdir()
    files = []
    for number, item in enumerate(dataset.items("test")[:UPLOADS]):
        files.append(folder / f"{number}.png")
        dataset.image(item).save(files[-1])
    found = []
    for _ in range(count):
        page.goto(f"{address}/routing?run={run}&view=Many+pictures")
        page.locator("input[type=file]").first.wait_for(state="attached")
        settled(page)
        done = f"document.body.innerText.includes('{UPLOADS} pictures classified')"
        found.append(timed(page, partial(_classify, page, files), done))
    return found


def _classify(page: Page, files: list[Path]) -> None:
    page.locator("input[type=file]").first.set_input_files(files)
    page.get_by_role("button", name=button(UPLOADS)).click()
