"""What several journeys do on a page, and wait for."""

from __future__ import annotations

from contextlib import suppress

import pytest

playwright = pytest.importorskip("playwright.sync_api")
expect, Missed = playwright.expect, playwright.TimeoutError
LIST_SECONDS = 3
expect.set_options(timeout=180_000)  # milliseconds; a training on a busy machine


# Every picture has come, and no part of the page is still a grey box.
DRAWN = (
    "() => [...document.images].every(image => image.complete)"
    " && !document.querySelector('[data-testid=stSkeleton]')"
)


def settled(page) -> None:
    """Waits until the page has run to its end; fails if it shows a traceback."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    assert page.get_by_test_id("stException").count() == 0, page.inner_text("body")


def heading(page, text: str) -> None:
    """Waits until a page with this title is shown, whole and without a traceback."""
    expect(page.get_by_role("heading", level=1, name=text)).to_be_visible()
    settled(page)


def go_to(page, name: str) -> None:
    """Follows the link to another page of the app."""
    page.get_by_role("link", name=name, exact=True).click()
    heading(page, "MoCoOp" if name == "Home" else name)


def choose(page, label: str, option: str) -> None:
    """Picks an option of a select box, and waits for what it leads to.

    A list shuts again if the page scrolls to it just when it opens, and a click is lost if the
    page draws the list anew under it: what counts is the value that the box has in the end. A
    long list holds only the options in sight; typing its name brings an option into sight.
    """
    box = page.get_by_role("combobox", name=label)
    wanted = page.get_by_role("option", name=option, exact=True)
    for _ in range(10):
        with suppress(Missed, AssertionError):
            if not wanted.is_visible():
                box.click()
                box.fill(option)
            wanted.click(timeout=LIST_SECONDS * 1000)
            expect(box).to_have_value(option, timeout=LIST_SECONDS * 1000)
            break
    expect(box).to_have_value(option)
    settled(page)


def set_epochs(page, number: int) -> None:
    """Fills in how many epochs a training is to take; `More settings` are still shut."""
    page.get_by_text("More settings").click()
    epochs = page.get_by_label("Epochs", exact=True)
    epochs.fill(str(number))
    epochs.press("Enter")


def train_small_run(page) -> None:
    """Fills the form for a run that takes a few seconds, and starts it."""
    choose(page, "Data set", "details")
    page.get_by_role("radio", name="2", exact=True).click()
    set_epochs(page, 30)
    expect(page.get_by_text("32 classes, 8 experts")).to_be_visible()
    page.get_by_role("button", name="Start training").click()
