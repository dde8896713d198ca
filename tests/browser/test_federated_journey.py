"""A federation from the form to its figures, in a real browser."""

from __future__ import annotations

from app.federated import words
from tests.browser.steps import choose, expect, heading, settled

SMALL = {words.CLIENTS: 2, words.ROUNDS: 2, words.EPOCHS: 1, words.SHOTS: 2}


def test_a_federation_is_started_and_its_link_shows_it_again(one_app, browser_page):
    page = browser_page
    page.goto(f"{one_app.address}/federated")
    heading(page, words.TITLE)
    expect(page.get_by_role("heading", name=words.WHO_HAS_WHAT)).to_be_visible()  # a shipped one
    choose(page, words.DATA, "details")
    choose(page, words.STRATEGY, "FedAvg of one prompt")
    for label, number in SMALL.items():
        box = page.get_by_label(label, exact=True)
        box.fill(str(number))
        box.press("Enter")
        settled(page)
    page.get_by_role("button", name=words.START).click()
    expect(page.get_by_text("2 / 2")).to_be_visible()
    expect(page.get_by_text("points over training alone")).to_be_visible()  # it trained alone too
    settled(page)
    assert "federation=details-dirichlet-fedavg" in page.url
    page.reload()
    heading(page, words.TITLE)
    expect(page.get_by_text("2 / 2")).to_be_visible()
    expect(page.get_by_role("combobox", name=words.FEDERATION)).to_have_value(
        "FedAvg of one prompt · details · unequal shares of the classes · 2 clients · seed 1"
    )
