"""New templates in a real browser: a zip is uploaded, templates are written, a mixture trains."""

from __future__ import annotations

import io
import zipfile

from tests.browser.steps import expect, heading, set_epochs, settled
from tests.support.image_files import picture_bytes


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
