"""Reading and using the pages without a mouse, in either theme, enlarged and on a narrow screen.

axe-core (in the package axe-playwright-python) looks for what keeps people out: too little
contrast, controls without a name, images without words.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from app.lab.lessons import LESSONS
from app.lab.words import PRINTED_QUESTION
from app.train.words import MISSING
from tests.browser.measure import RUN
from tests.browser.steps import DRAWN, choose, expect, heading, settled

axe = pytest.importorskip("axe_playwright_python")
AXE = Path(axe.__file__).with_name("axe.min.js")
PAGES = {
    "Home": ("", "MoCoOp"),
    "Data": ("data", "Data"),
    "Train": ("train", "Train"),
    "Routing": ("routing", "Routing"),
    "Prompt space": ("prompt_space", "Prompt space"),
    "Overfitting lab": ("overfitting_lab", "Overfitting lab"),
    "Federated": ("federated", "Federated"),
    "Compare": ("compare", "Compare"),
}
_VIEWS = ("Expert by expert", "Experts by class", "Does the router help?", "Try a picture")
RESULTS = [
    *(("Routing", f"routing?run={RUN}&view={quote_plus(view)}") for view in _VIEWS),
    *(("Data", f"data?data=albums&look_at={tab}") for tab in ("Classes", "Templates", "Check")),
    *(
        ("Compare", f"compare?table={quote_plus(tab)}&runs={RUN}&runs=albums-coop-16shot")
        for tab in ("Runs", "Means over seeds", "Curves")
    ),
    ("Routing", "routing?run=albums-coop-16shot"),
    ("Prompt space", "prompt_space?run=albums-coop-16shot"),
]
FINDINGS = """async () => {
  const {violations} = await axe.run(document, {resultTypes: ["violations"]});
  return violations
    .filter(one => ["serious", "critical"].includes(one.impact) || one.id === "heading-order")
    .flatMap(one => one.nodes.map(node => `${one.id}: ${node.html.slice(0, 200)}`));
}"""
# Tools of figures that the Tab key would stop at.
TOOLS_ON_THE_WAY = """() => [...document.querySelectorAll(".modebar-btn")].filter(
  tool => tool.tabIndex >= 0 && getComputedStyle(tool).visibility === "visible").length"""
FOCUS = """() => {
  const part = document.activeElement, style = getComputedStyle(part);
  const name = part.innerText || part.closest("label")?.innerText || part.ariaLabel || "";
  return {name, ring: style.outlineStyle, width: parseFloat(style.outlineWidth)};
}"""
TOO_WIDE = """() => {
  const main = document.querySelector("[data-testid=stMain]");
  return main.scrollWidth - main.clientWidth;
}"""
# Contrast of the words of disabled main buttons with what lies behind them. axe-core leaves such
# buttons out.
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const parts = colour => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(
      v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  return [...document.querySelectorAll('button[kind^="primary"]:disabled p')].map(words => {
    let ground = words;
    while (parts(getComputedStyle(ground).backgroundColor)[3] < 255) ground = ground.parentElement;
    const [a, b] = [getComputedStyle(words).color, getComputedStyle(ground).backgroundColor]
      .map(colour => light(parts(colour)));
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
}"""
READABLE = 4.5
MOST_STOPS = 40
LABEL = 30  # letters of a label beside the name, of its icon say


def open_page(page, address: str, path: str, title: str) -> None:
    page.goto(f"{address}/{path}")
    heading(page, title)
    page.wait_for_function(DRAWN)
    settled(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(one_app, browser_page, theme):
    page = browser_page
    page.emulate_media(color_scheme=theme)
    for path, title in PAGES.values():
        open_page(page, one_app.address, path, title)
        page.add_script_tag(path=AXE)
        assert page.evaluate(FINDINGS) == [], f"{title}, {theme}"
        assert page.evaluate(TOOLS_ON_THE_WAY) == 0, title
        assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_what_opens(one_app, browser_page, theme):
    """Dialogs stand beside the page and have its theme; and parts that come with a choice."""
    page = browser_page
    page.emulate_media(color_scheme=theme)

    def look(what: str) -> None:
        page.wait_for_function(DRAWN)
        settled(page)
        page.add_script_tag(path=AXE)
        assert page.evaluate(FINDINGS) == [], f"{what}, {theme}"

    open_page(page, one_app.address, f"routing?run={RUN}&image=test/cheese/photo/10", "Routing")
    expect(page.get_by_role("dialog").get_by_text("True class: cheese").first).to_be_visible()
    look("look closer")
    open_page(page, one_app.address, f"compare?table=Side+by+side&runs={RUN}", "Compare")
    expect(page.get_by_text("on the same").first).to_be_visible()
    look("side by side")
    open_page(page, one_app.address, "train", "Train")
    page.get_by_role("button", name="Overfit me").click()
    expect(page.get_by_text("Set: CoOp on albums")).to_be_visible()
    choose(page, "CLIP", f"ViT-B-32-quickgelu/openai · {MISSING}")
    look("settings that overfit, with a CLIP that is not here")
    page.get_by_role("button", name="Which CLIPs are there?").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    look("the table of CLIPs")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_results(one_app, browser_page, theme):
    """Every tab with results on it, and the answers of the lessons."""
    page = browser_page
    page.emulate_media(color_scheme=theme)

    def look(what: str) -> None:
        page.wait_for_function(DRAWN)
        settled(page)
        page.add_script_tag(path=AXE)
        assert page.evaluate(FINDINGS) == [], f"{what}, {theme}"

    for title, path in RESULTS:
        open_page(page, one_app.address, path, title)
        look(path)
    open_page(page, one_app.address, f"routing?run={RUN}&view=Type+a+prompt", "Routing")
    page.get_by_role("button", name="a photo of a small {}.").click()
    expect(page.get_by_text("On the test images").first).to_be_visible()
    look("a typed prompt")
    open_page(page, one_app.address, "overfitting_lab?lab=Lessons", "Overfitting lab")
    for lesson, following in zip(LESSONS, (*LESSONS[1:], None), strict=True):
        expect(page.get_by_role("heading", name=lesson.title)).to_be_visible()
        choices = page.get_by_role("radiogroup", name=PRINTED_QUESTION)
        choices.locator("label").first.click()
        settled(page)
        page.get_by_role("button", name="Show what happened").click()
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        look(lesson.title)
        if following is not None:
            page.get_by_role("button", name=f"Next: {following.title}").click()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_disabled_main_button_can_be_read(one_app, browser_page, theme):
    page = browser_page
    page.emulate_media(color_scheme=theme)
    open_page(page, one_app.address, "overfitting_lab?lab=Lessons", "Overfitting lab")
    expect(page.get_by_role("button", name="Show what happened")).to_be_disabled()
    contrasts = page.evaluate(CONTRAST)
    assert contrasts
    assert min(contrasts) >= READABLE, theme


def tab_to(page, name: str) -> dict:
    """Presses Tab until a part of the page has the focus; returns its name and its ring."""
    met = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUS)
        met.append(focus["name"])
        if name in focus["name"] and len(focus["name"]) < len(name) + LABEL:  # no whole panel
            return focus
    raise AssertionError(f"Tab does not reach {name}; it stops at {met}")


def test_the_keyboard_goes_from_page_to_page(one_app, browser_page):
    page = browser_page
    open_page(page, one_app.address, "", "MoCoOp")
    focus = tab_to(page, "Routing")
    assert (focus["ring"], focus["width"] >= 2) == ("solid", True)
    page.keyboard.press("Enter")
    heading(page, "Routing")


def test_a_lesson_is_done_by_keyboard_alone(one_app, browser_page):
    page, (first, second, *_) = browser_page, LESSONS
    open_page(page, one_app.address, "overfitting_lab?lab=Lessons", "Overfitting lab")
    tab_to(page, first.choices[0])
    page.keyboard.press("Space")
    settled(page)
    expect(page.get_by_role("button", name="Show what happened")).to_be_enabled()
    tab_to(page, "Show what happened")
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile("As you predicted|You predicted"))).to_be_visible()
    settled(page)
    tab_to(page, f"Next: {second.title}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=second.title)).to_be_visible()


def test_pages_can_be_read_at_twice_their_size(one_app, browser_page):
    """What a zoom of 200 % leaves of a screen of 1280 px."""
    page = browser_page
    page.set_viewport_size({"width": 640, "height": 400})
    for path, title in PAGES.values():
        open_page(page, one_app.address, path, title)
        assert page.evaluate(TOO_WIDE) <= 1, title


def test_every_page_can_be_reached_on_a_narrow_screen(one_app, browser_page):
    page = browser_page
    page.set_viewport_size({"width": 800, "height": 900})
    open_page(page, one_app.address, "", "MoCoOp")
    for name, (_, title) in PAGES.items():
        link = page.locator("[data-testid=stTopNav] > :not([inert])").get_by_text(name, exact=True)
        if not link.count():  # those without room are in a menu
            page.get_by_role("button", name=re.compile("more$")).click()
            link = page.get_by_role("menu").get_by_text(name, exact=True)
        expect(link).to_be_visible()
        link.click()
        heading(page, title)
