"""In a real browser: a lesson from start to end, playing, and a run deleted after a question."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from app.lab.lessons import LESSONS
from mocoop.runs.run import shipped_runs
from tests.browser.steps import expect, heading, settled


def test_a_lesson_then_play_then_delete_a_run(start_app, browser_page, tmp_path):
    page, server = browser_page, start_app()
    page.goto(f"{server.address}/overfitting_lab")
    heading(page, "Overfitting lab")
    page.get_by_role("tab", name="Lessons").click()
    expect(page.get_by_role("button", name="Show what happened")).to_be_disabled()
    page.get_by_text(LESSONS[0].choices[1]).click()
    page.get_by_role("button", name="Show what happened").click()
    expect(page.get_by_text(re.compile("As you predicted|You predicted"))).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(1)
    settled(page)
    with page.expect_download() as handout:
        page.get_by_role("button", name="Handout with solution").click()
    printed = Path(handout.value.path())
    assert LESSONS[0].title in printed.read_text(encoding="utf-8")
    assert printed.stat().st_size < 200_000
    assert "answer" not in page.url  # a link tells neither the prediction nor the answer
    assert "revealed" not in page.url
    expect(page.get_by_role("radio", name=LESSONS[0].choices[1])).to_be_disabled()
    page.get_by_role("button", name=f"Next: {LESSONS[1].title}").click()
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
    expect(page.get_by_role("button", name="Delete …")).to_have_count(0)
    assert not (tmp_path / "runs" / "mine").exists()
    assert run.is_dir()
