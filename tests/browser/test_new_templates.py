"""New templates in a real browser: a zip is uploaded, templates are written, a mixture trains."""

from __future__ import annotations

import io
import zipfile
from urllib.parse import parse_qs, urlsplit

import psutil

from app.jobs import template_jobs
from mocoop.runs.status import STATUS_FILE, read_values
from tests.browser.steps import expect, heading, set_epochs, settled
from tests.support.image_files import picture_bytes

WORDS = (
    "red", "old", "big", "dark", "blurry", "small", "clean", "broken", "bright", "soft", "round",
    "wooden", "shiny", "dirty", "new", "cold",
)  # fmt: skip
PASTE = """(box, text) => {
  const {set} = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value");
  set.call(box, text);
  box.dispatchEvent(new Event("input", {bubbles: true}));
}"""


def test_from_pictures_to_a_training_with_new_groups(start_app, browser_page, tmp_path):
    page, server = browser_page, start_app()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("red_cup", "GreenLeaf", "blue.bird"):
            for number in range(8):
                path = f"things/{name}/{number}.png"
                archive.writestr(path, picture_bytes(path, size=(70, 60)))
    (tmp_path / "things.zip").write_bytes(buffer.getvalue())
    page.goto(f"{server.address}/data")
    heading(page, "Data")
    page.get_by_role("button", name="Upload a zip").click()
    page.locator("input[type=file]").set_input_files(tmp_path / "things.zip")
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_text("12 images", exact=True)).to_be_visible()
    settled(page)
    page.get_by_role("tab", name="New templates").click()
    page.get_by_role("button", name="Write templates").click()
    expect(page.get_by_role("heading", name="Use these groups")).to_be_visible()
    settled(page)
    expect(
        page.get_by_role("heading", name="What the groups make of six pictures")
    ).to_be_visible()

    # A line around all points moves them into one group; undo takes it back.
    plot = page.locator(".js-plotly-plot .draglayer .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98), (0.02, 0.03)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()
    expect(page.get_by_text("templates selected")).to_be_visible()
    page.get_by_role("button", name="Move", exact=True).click()
    page.get_by_role("button", name="Undo (1)").click()
    expect(page.get_by_role("button", name="Undo", exact=True)).to_be_visible()
    settled(page)

    page.reload()
    heading(page, "Data")
    expect(page.get_by_role("heading", name="Use these groups")).to_be_visible()
    page.get_by_role("spinbutton", name="Number of groups").fill("3")
    page.get_by_role("spinbutton", name="Number of groups").press("Enter")
    settled(page)
    page.get_by_role("button", name="Group again").click()
    expect(page.get_by_role("button", name="Undo (1)")).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Train with these groups").click()
    heading(page, "Train")
    expect(page.get_by_text("3 classes, 3 experts")).to_be_visible()
    set_epochs(page, 5)
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_text("Test accuracy", exact=True)).to_be_visible()


def paste(box, text: str) -> None:
    """Puts many lines into a text box at once, as a paste does; `fill` takes minutes for them."""
    box.evaluate(PASTE, text)
    box.press("Control+Enter")


def test_a_cancelled_request_stops_and_can_be_started_again(start_app, browser_page, cache):
    """Cancel ends the process and says so; the same button starts it anew."""
    page, server = browser_page, start_app()
    page.goto(f"{server.address}/data?data=details&look_at=New+templates")
    heading(page, "Data")
    page.get_by_text("Your own lines").click()
    box = page.get_by_role("textbox", name="Templates, one per line")
    expect(box).to_be_visible()
    settled(page)
    lines = [f"a {a} photo of a {b} {{}} at {c}." for a in WORDS for b in WORDS for c in WORDS]
    paste(box, "\n".join(lines))
    page.get_by_role("button", name="Write templates").click()
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible()
    key = parse_qs(urlsplit(page.url).query)["made"][0]
    folder = cache / template_jobs.FOLDER / key
    process = psutil.Process(read_values(folder, STATUS_FILE)["pid"])
    cancel.click()
    expect(page.get_by_text("The writing of templates was cancelled")).to_be_visible()
    expect(cancel).to_have_count(0)
    settled(page)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert read_values(folder, STATUS_FILE)["state"] == "cancelled"

    page.reload()
    heading(page, "Data")
    expect(page.get_by_text("The writing of templates was cancelled")).to_be_visible()
    expect(box).to_have_value("\n".join(lines))  # it can be started again as it was
    settled(page)
    paste(box, "a small {} in a corner.\na large {} in the middle.\na sketch of a {}.")
    page.get_by_role("button", name="Write templates").click()
    expect(page.get_by_role("heading", name="Use these groups")).to_be_visible()
    settled(page)
    expect(page.get_by_text("0 refused")).to_be_visible()
