"""Train in a real browser: three seeds, "Overfit me", the towers and the choice of CLIP."""

from __future__ import annotations

import re

from app.train import words
from mocoop.methods import METHODS
from tests.browser.steps import choose, expect, heading, set_epochs, settled

OTHER = "ViT-B-32-quickgelu/openai"


def opened(page, server, query: str = "") -> None:
    page.goto(f"{server.address}/train{query}")
    heading(page, "Train")


def test_three_seeds_end_in_their_mean_and_lead_to_their_results(one_app, browser_page):
    page = browser_page
    opened(page, one_app, f"?data=details&shots=1&method={METHODS['coop'].label}")
    set_epochs(page, 2)
    settled(page)
    page.get_by_role("button", name="Train three seeds").click()
    expect(page.get_by_text(words.SEEDS_DONE)).to_be_visible()
    expect(page.get_by_role("button", name="Train three seeds")).to_be_disabled()
    expect(page.get_by_text("Mean over seeds 1, 2, 3:")).to_be_visible()
    settled(page)
    earlier = page.get_by_role("tabpanel").get_by_role("link", name=re.compile("seed 1"))
    earlier.first.click()
    heading(page, "Routing")
    expect(page).to_have_url(re.compile("run=details-coop-1shot-seed1-"))


def test_overfit_me_fills_the_form_and_names_what_came_out(one_app, browser_page):
    page = browser_page
    opened(page, one_app)
    page.get_by_role("button", name="Overfit me").click()
    expect(page.get_by_text("Set: CoOp on albums, 1 image per class")).to_be_visible()
    expect(page.get_by_role("combobox", name="Method")).to_have_value("One prompt: CoOp")
    settled(page)
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_text("What came out:")).to_be_visible()
    expect(page.get_by_text("This is overfitting:")).to_be_visible()


def test_the_towers_follow_the_method_and_its_settings(one_app, browser_page):
    page = browser_page
    opened(page, one_app, "?data=details")
    drawing = page.locator(".stMarkdown svg")
    expect(drawing).to_contain_text("router")
    choose(page, "Method", "Both towers: VPT")
    expect(drawing).not_to_contain_text("router")
    expect(drawing).to_contain_text("blocks 4–6")
    page.get_by_text("More settings").click()
    depth = page.get_by_label("Blocks of the image tower", exact=True)
    depth.fill("6")
    depth.press("Enter")
    expect(drawing).not_to_contain_text("blocks 4–6")
    expect(page.get_by_text("in each of blocks 1 to 6")).to_be_visible()


def test_another_clip_is_chosen_looked_up_and_asked_for(one_app, browser_page):
    page = browser_page
    opened(page, one_app, "?data=details&shots=1")
    choose(page, "CLIP", f"{OTHER} · {words.MISSING}")
    expect(page.get_by_text("151 million parameters")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^about \d+ min$")).first).to_be_visible()
    page.get_by_role("button", name="Which CLIPs are there?").click()
    listed = page.get_by_role("dialog")
    expect(listed.get_by_text(OTHER)).to_be_visible()
    listed.get_by_role("button", name="Close").click()
    expect(listed).to_have_count(0)
    page.get_by_role("button", name=words.DOWNLOAD, exact=True).click()
    expect(page.get_by_text("Where there is internet, run")).to_be_visible()
    settled(page)
    choose(page, "CLIP", f"demo · {words.HERE}")
    expect(page.get_by_text("151 million parameters")).to_have_count(0)
