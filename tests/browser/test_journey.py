"""The way of a first visit, in a real browser: train, look at the routing, try a picture."""

from __future__ import annotations

import re
import time

from PIL import Image, ImageDraw

from tests.browser.steps import (
    choose,
    expect,
    go_to,
    heading,
    set_epochs,
    settled,
    train_small_run,
)

LONG = re.compile(r"Epoch \d+ of 3000")


def test_train_look_upload_and_map(start_app, browser_page, tmp_path):
    page, server = browser_page, start_app()
    page.goto(server.address)
    heading(page, "MoCoOp")
    page.get_by_role("button", name="Go to Train").click()
    heading(page, "Train")

    train_small_run(page)
    progress = page.get_by_text(re.compile(r"Epoch \d+ of 30|Test accuracy")).first
    expect(page.get_by_test_id("stProgress").get_by_text("Starting: loading CLIP")).to_be_visible()
    page.reload()  # the training and its progress are on disk
    expect(progress).to_be_visible()
    expect(page.get_by_text("Test accuracy", exact=True)).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(4)
    page.get_by_role("button", name="See the routing").click()

    heading(page, "Routing")
    assert "run=details-mocoop-2shot-seed1-001" in page.url
    page.get_by_role("tab", name="Try a picture").click()
    settled(page)
    page.get_by_text("My files", exact=True).click()
    settled(page)
    picture = Image.new("RGB", (90, 60), "white")
    ImageDraw.Draw(picture).ellipse((20, 10, 60, 50), fill="red")
    picture.save(tmp_path / "mine.png")
    page.locator("input[type=file]").set_input_files(tmp_path / "mine.png")
    expect(
        page.get_by_test_id("stCaptionContainer").get_by_text("mine.png", exact=True)
    ).to_be_visible()
    expect(page.get_by_role("img", name="The changed picture")).to_be_visible()
    settled(page)

    go_to(page, "Prompt space")
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    settled(page)

    go_to(page, "Home")
    expect(page.get_by_text("Mixed answer")).to_be_visible()
    page.get_by_role("button", name="Explore a finished run").click()
    heading(page, "Routing")
    assert "run=details-mocoop-2shot-seed1-001" in page.url


def test_training_outlives_the_server_is_cancelled_and_goes_on(start_app, browser_page, tmp_path):
    page, server = browser_page, start_app()
    page.goto(server.address)
    heading(page, "MoCoOp")
    go_to(page, "Train")
    set_epochs(page, 3000)
    expect(page.get_by_text(re.compile("^about .* (min|h)")).first).to_be_visible()
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_test_id("stProgress").get_by_text(LONG)).to_be_visible()

    server.stop()
    page.goto(start_app().address)
    heading(page, "MoCoOp")
    page.get_by_role("link", name="Train").click()
    expect(page.get_by_test_id("stProgress").get_by_text(LONG)).to_be_visible()
    end = time.monotonic() + 120
    while not list((tmp_path / "runs").glob("*/resume/state.safetensors")):
        assert time.monotonic() < end, "nothing was saved to go on from"
        time.sleep(0.2)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled after epoch")).to_be_visible()
    expect(page.get_by_role("button", name="Start training")).to_be_visible()

    go_on = page.get_by_role("button", name="Continue after epoch")
    saved = int(re.search(r"\d+", go_on.inner_text())[0])
    go_on.click()
    expect(page.get_by_test_id("stProgress").get_by_text(LONG)).to_be_visible()
    reached = re.search(r"Epoch (\d+) of", page.get_by_test_id("stProgress").inner_text())
    assert int(reached[1]) >= saved
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled after epoch")).to_be_visible()


def test_link_to_a_page_opens_the_app_on_a_fresh_server(start_app, browser_page):
    page, server = browser_page, start_app()
    page.goto(f"{server.address}/train?shots=4")
    heading(page, "Train")
    expect(page.get_by_role("link", name="Prompt space")).to_be_visible()
    expect(page.get_by_role("link", name="streamlit app")).to_have_count(0)
    expect(page.get_by_role("radio", name="4", exact=True)).to_be_checked()


def test_a_method_without_prompts_shows_what_it_has(start_app, browser_page):
    page, server = browser_page, start_app()
    page.goto(f"{server.address}/train?data=details&method=tip-adapter&shots=2")
    heading(page, "Train")
    method = page.get_by_role("combobox", name="Method")
    expect(method).to_have_value("No learned prompt: Tip-Adapter")
    page.get_by_role("button", name="Test it").click()
    expect(page.get_by_text("is fitted in one step, so there are no curves")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(0)
    page.get_by_role("button", name="See the predictions").click()

    heading(page, "Routing")
    expect(page.get_by_text("Tip-Adapter has no router")).to_be_visible()
    page.get_by_role("tab", name="Try a picture").click()
    settled(page)
    expect(page.get_by_role("tab", name="Does the router help?")).to_have_count(0)
    go_to(page, "Prompt space")
    expect(page.get_by_text("Tip-Adapter learns no soft prompts")).to_be_visible()

    go_to(page, "Train")
    settled(page)
    choose(page, "Method", "One prompt: KgCoOp")
    expect(page.get_by_text("keeps close to the plain prompt")).to_be_visible()
    assert "KgCoOp" in page.url
    page.reload()
    heading(page, "Train")
    expect(method).to_have_value("One prompt: KgCoOp")
