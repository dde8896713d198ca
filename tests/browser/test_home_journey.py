"""Home in a browser: every click on the button for another image shows another one."""

from __future__ import annotations

from tests.browser.steps import DRAWN, expect, heading, settled


def test_the_first_click_shows_another_image(one_app, browser_page):
    page = browser_page
    page.goto(one_app.address)
    heading(page, "MoCoOp")
    expect(page.get_by_text("How to read this.")).to_be_visible()
    expect(page.get_by_text("drawn as:")).to_be_visible()
    page.wait_for_function(DRAWN)
    seen = [shown(page)]
    for _ in range(3):
        page.get_by_role("button", name="Another image").click()
        expect(page.get_by_test_id("stMain").locator("img").first).not_to_have_attribute(
            "src", seen[-1]
        )
        settled(page)
        seen.append(shown(page))
    assert len(set(seen)) == len(seen)


def shown(page) -> str:
    """Returns the address of the picture of the story."""
    return page.get_by_test_id("stMain").locator("img").first.get_attribute("src")


def test_start_is_in_sight_without_scrolling(one_app, browser_page):
    """On a laptop's screen, with the line below the button that says what the training does."""
    page = browser_page
    page.goto(f"{one_app.address}/train")
    heading(page, "Train")
    button = page.get_by_role("button", name="Start training")
    expect(button).to_be_in_viewport()
    page.get_by_role("button", name="Overfit me").click()
    expect(page.get_by_text("Predict first:")).to_be_visible()
    expect(page.get_by_text("1 image per class, base classes only")).to_be_visible()
