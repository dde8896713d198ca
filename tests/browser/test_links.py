"""A copied link shows the same view in another browser."""

from __future__ import annotations

import re
import time

from tests.browser.steps import choose, expect, heading, settled


def said(page) -> list[str]:
    """Returns the words of a page and of what lies above it, without the pictures' own."""
    settled(page)
    parts = page.get_by_test_id("stMain").or_(page.get_by_role("dialog"))
    return [part.inner_text() for part in parts.all()]


def test_copied_link_shows_the_same_view(start_app, browser_page):
    page, server = browser_page, start_app()
    page.goto(f"{server.address}/routing")
    heading(page, "Routing")
    choose(page, "True style", "sketch")
    choose(page, "Prediction", "right")
    choose(page, "Order", "most certain")
    page.get_by_role("button", name=re.compile("^Look closer")).first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Nearest training images")).to_be_visible()
    settled(page)
    # Charts in the dialog name the expert too.
    dialog.get_by_test_id("stButtonGroup").get_by_text("photo", exact=True).click()
    expect(dialog.get_by_text("Expert 'photo' alone predicts")).to_be_visible()
    before = said(page)

    other = page.context.browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    other.set_default_timeout(120_000)
    other.goto(page.url)
    heading(other, "Routing")
    expect(other.get_by_text("Expert 'photo' alone predicts")).to_be_visible()
    end = time.monotonic() + 30
    while said(other) != before and time.monotonic() < end:
        other.wait_for_timeout(200)  # parts of the page are fetched when they are first needed
    assert said(other) == before
