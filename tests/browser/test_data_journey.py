"""One's own images in a real browser: upload a zip, look at it, train on it."""

from __future__ import annotations

import io
import zipfile

from tests.browser.steps import expect, heading, settled
from tests.support.image_files import picture_bytes


def test_a_zip_becomes_a_data_set_and_is_trained_on(start_app, browser_page, tmp_path):
    page, server = browser_page, start_app()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("red_cup", "GreenLeaf", "blue.bird"):
            for number in range(8):
                path = f"my photos/{name}/{number}.png"
                archive.writestr(path, picture_bytes(path, size=(70, 60)))
    (tmp_path / "my photos.zip").write_bytes(buffer.getvalue())
    page.goto(f"{server.address}/data")
    heading(page, "Data")
    expect(page.get_by_text("768 images", exact=True)).to_be_visible()
    page.get_by_role("button", name="Upload a zip").click()
    page.locator("input[type=file]").set_input_files(tmp_path / "my photos.zip")
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_text("12 images", exact=True)).to_be_visible()
    settled(page)
    assert "my-photos" in page.url
    page.get_by_role("tab", name="Classes").click()
    expect(page.get_by_text("mocoop.yaml")).to_be_visible()
    page.reload()
    heading(page, "Data")
    expect(page.get_by_text("mocoop.yaml")).to_be_visible()

    page.get_by_role("link", name="Train on it").click()
    heading(page, "Train")
    expect(page.get_by_text("3 classes, 6 experts")).to_be_visible()
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_text("Test accuracy", exact=True)).to_be_visible()
