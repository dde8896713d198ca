"""In a real browser: a lesson from start to end, playing, and a run deleted after a question."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from app.lab.lessons import LESSONS
from mocoop.runs.run import shipped_runs
from tests.browser.steps import expect, heading, settled

# Notes the epoch in the page's text again and again, in a list.
NOTE_EPOCHS = r"""() => { window.epochs = []; setInterval(() => {
    const shown = document.body.innerText.match(/After (\d+) epoch/);
    if (shown && window.epochs.at(-1) !== +shown[1]) window.epochs.push(+shown[1]);
}, 100); }"""


def slider(page, label: str):
    """Returns the handle of a slider."""
    kinds = page.locator("[data-testid=stSlider], [data-testid=stSelectSlider]")
    return kinds.filter(has_text=label).get_by_role("slider")


def press(page, label: str, key: str, times: int) -> None:
    """Moves a slider by the keyboard, faster than the page can follow."""
    slider(page, label).focus()
    for _ in range(times):
        page.keyboard.press(key)
        page.wait_for_timeout(60)


def test_the_address_follows_fast_sliders_and_playing_ends_at_the_last_epoch(
    one_app, browser_page
):
    page = browser_page
    page.goto(f"{one_app.address}/overfitting_lab")
    heading(page, "Overfitting lab")
    expect(page.get_by_text("After 40 epochs")).to_be_visible()
    for _ in range(2):  # the second weight is not ready: more is on the page, then less
        press(page, "Images per class", "ArrowLeft", 3)
        press(page, "Epochs trained", "ArrowLeft", 6)
        press(page, "Weight of the text loss", "ArrowLeft", 2)
        press(page, "Images per class", "ArrowRight", 1)
        press(page, "Weight of the text loss", "ArrowRight", 2)
    settled(page)
    expect(page.get_by_text("After 28 epochs")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?per_class=2&until=28$"))
    assert slider(page, "Images per class").get_attribute("aria-valuetext") == "2"
    page.get_by_role("button", name="To the start").click()
    expect(page).to_have_url(re.compile("until=0"))
    page.evaluate(NOTE_EPOCHS)
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_text("After 40 epochs")).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.wait_for_timeout(2000)  # a late tick would come now
    assert page.get_by_text("After 40 epochs").is_visible()
    assert slider(page, "Epochs trained").get_attribute("aria-valuetext") == "40"
    seen = page.evaluate("window.epochs")
    played = seen[seen.index(0) :]  # the page may still have shown the epoch of before
    assert played == sorted(played)


def test_a_lesson_then_play_then_delete_a_run(start_app, browser_page, tmp_path):
    page, server = browser_page, start_app()
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{server.address}/overfitting_lab")
    heading(page, "Overfitting lab")
    page.get_by_role("tab", name="Lessons").click()
    expect(page.get_by_role("button", name="Show what happened")).to_be_disabled()
    page.get_by_text(LESSONS[0].choices[1]).click()
    page.get_by_role("button", name="Show what happened").click()
    expect(page.get_by_text(re.compile("As you predicted|You predicted"))).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(1)
    settled(page)
    # What happened, its figure and the way on are on one screen, without scrolling.
    onward = page.get_by_role("button", name=f"Next: {LESSONS[1].title}")
    expect(onward).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Handout").click()
    with page.expect_download() as handout:
        page.get_by_role("button", name="Handout with solution").click()
    printed = Path(handout.value.path())
    assert LESSONS[0].title in printed.read_text(encoding="utf-8")
    assert printed.stat().st_size < 200_000
    assert "answer" not in page.url  # a link tells neither the prediction nor the answer
    assert "revealed" not in page.url
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Story and question").click()
    expect(page.get_by_role("radio", name=LESSONS[0].choices[1])).to_be_disabled()
    page.keyboard.press("Escape")
    onward.click()
    expect(page.get_by_role("heading", name=LESSONS[1].title)).to_be_visible()

    page.goto(f"{server.address}/overfitting_lab?until=38")
    heading(page, "Overfitting lab")
    expect(page.get_by_text("After 38 epochs")).to_be_visible()
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_text("After 40 epochs")).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_be_visible()  # it ends by itself

    run = next(shipped_runs().iterdir())
    shutil.copytree(run, tmp_path / "runs" / "mine")
    page.goto(f"{server.address}/compare?runs=mine")
    heading(page, "Compare")
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Delete 1 run").click()
    expect(page.get_by_text("1 run deleted.")).to_be_visible()
    expect(page.get_by_role("button", name="Delete …")).to_have_count(0)
    assert not (tmp_path / "runs" / "mine").exists()
    assert run.is_dir()
