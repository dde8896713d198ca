"""Trainings seen from the page: two browsers and one queue, no download, a process that dies."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable

import pytest

from app.jobs.trainings import cancel_run
from mocoop.runs.run import Run
from mocoop.runs.status import FAILED
from mocoop.training.snapshots import saved_epoch
from tests.browser.conftest import Server, listen, page_report
from tests.browser.steps import choose, expect, go_to, heading, set_epochs, settled

FORM = "train?data=details&shots=2&seed="
EPOCH = re.compile(r"Epoch \d+ of 5000")
PATIENCE = 120  # seconds


@pytest.fixture
def second_page(browser_page):
    """A page of another browser, which shares nothing with the first."""
    context = browser_page.context.browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(120_000)
    told = listen(page)
    yield page
    print("second browser:", *told, page_report(page), sep="\n")
    context.close()


@pytest.fixture(autouse=True)
def empty_queue(one_app):
    """Leaves the next test a queue that is empty, whatever became of this one."""
    yield
    for path in one_app.runs.glob("*"):
        cancel_run(Run(path), patience=2)


def wait_until(done: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def open_form(page, server: Server, seed: int, epochs: int) -> None:
    """Opens the form with the settings of a training of some epochs.

    It is not waited for the page to settle: while something trains it looks every second, and on
    a busy machine that is always.
    """
    page.goto(f"{server.address}/{FORM}{seed}")
    expect(page.get_by_role("heading", level=1, name="Train")).to_be_visible()
    set_epochs(page, epochs)
    expect(page.get_by_text("32 classes, 8 experts")).to_be_visible()


def run_of(server: Server, seed: int) -> Run:
    (path,) = server.runs.glob(f"details-mocoop-2shot-seed{seed}-*")
    return Run(path)


def queue_on(page) -> list[str]:
    """Returns the trainings that a page shows as running or waiting, in the order of turns."""
    panel = page.get_by_role("tabpanel", name=re.compile("Progress"))
    lines = panel.inner_text().partition("Earlier runs")[0].splitlines()
    return [line for line in lines if line.startswith("details · ")]


def browse(page) -> None:
    """Looks around on pages that a training does not concern."""
    choose(page, "True style", "sketch")
    expect(page.get_by_role("button", name=re.compile("^Look closer")).first).to_be_visible()
    go_to(page, "Prompt space")
    expect(page.locator(".js-plotly-plot")).to_have_count(3)


def test_two_browsers_share_a_queue_whose_first_training_dies(one_app, browser_page, second_page):
    first, second = browser_page, second_page
    open_form(first, one_app, 1, 5000)
    first.get_by_role("button", name="Start training").click()
    second.goto(f"{one_app.address}/routing")
    heading(second, "Routing")
    expect(first.get_by_test_id("stProgress").get_by_text(EPOCH)).to_be_visible()
    browse(second)
    assert first.get_by_test_id("stException").count() == 0

    open_form(second, one_app, 2, 3)
    expect(second.get_by_test_id("stProgress").get_by_text(EPOCH)).to_be_visible()
    second.get_by_role("button", name="Add to the queue").click()
    for page in (first, second):
        expect(page.get_by_role("button", name="Remove")).to_have_count(1)
        expect(page.get_by_text("waiting")).to_be_visible()
    asked = [f"details · MoCoOp · 2 images per class · seed {seed}" for seed in (1, 2)]
    assert queue_on(first) == queue_on(second) == asked

    before = first.get_by_test_id("stProgress").get_by_text(EPOCH).inner_text()
    expect(first.get_by_text(before, exact=True)).to_have_count(0)  # it is live all the while
    run = run_of(one_app, 1)
    wait_until(lambda: saved_epoch(run.path))
    os.kill(run.status().pid, signal.SIGKILL)
    for page in (first, second):
        expect(
            page.get_by_text("Test accuracy", exact=True)
        ).to_be_visible()  # of the one that waited
        expect(page.get_by_text("interrupted")).to_be_visible()
        expect(page.get_by_role("button", name="Start training")).to_be_visible()
        settled(page)

    expect(
        second.get_by_role("button", name=f"Continue after epoch {saved_epoch(run.path)}")
    ).to_be_visible()


def test_a_clip_that_cannot_be_downloaded_is_told(one_app, browser_page):
    page = browser_page
    open_form(page, one_app, 3, 2)
    clip = page.get_by_label("CLIP", exact=True)
    clip.fill("ViT-B-16-quickgelu/openai")
    clip.press("Enter")
    expect(page.get_by_text(re.compile(r"^about \d+ min$")).first).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Start training").click()
    said = page.get_by_text("are not on this machine and could not be downloaded").first
    expect(said).to_be_visible()
    expect(said).to_contain_text(
        "give a local file of these weights, ViT-B-16-quickgelu/FILE.safetensors"
    )
    expect(said).to_contain_text("or a checkpoint folder")
    status = run_of(one_app, 3).status()
    assert status.state == FAILED
    assert status.updated - status.started < 60  # the hub's client alone would try for longer
    expect(page.get_by_role("button", name="Train it again")).to_be_visible()
    settled(page)  # what is typed while the page still changes can be lost

    clip.fill("demo")
    clip.press("Enter")
    expect(page.get_by_text(re.compile("^(a few seconds|about )")).first).to_be_visible()
    settled(page)
