"""Many pictures in a real browser: upload a zip, classify it, read the table, save it."""

from __future__ import annotations

import csv
import zipfile

import pytest

from mocoop.datasets import load_dataset
from tests.browser.steps import expect, heading, settled

RUN = "albums-mocoop-16shot"


@pytest.fixture
def many(tmp_path):
    """A zip with a folder per class, and one file that is no picture."""
    data, path = load_dataset("albums"), tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, item in enumerate(data.items("test")[::24]):
            file = tmp_path / f"{number}.png"
            data.image(item).save(file)
            archive.write(file, f"mine/{data.class_names[item.label]}/{number}.png")
        archive.writestr("mine/notes.png", b"no picture")
    return path


def test_a_zip_becomes_a_table(one_app, browser_page, many, tmp_path):
    page = browser_page
    page.goto(f"{one_app.address}/routing?run={RUN}&view=Many+pictures")
    heading(page, "Routing")
    page.locator("input[type=file]").first.set_input_files(many)
    page.get_by_role("button", name="Classify 25 pictures").click()
    expect(page.get_by_text("24 pictures classified")).to_be_visible()
    settled(page)
    expect(page.get_by_text("Macro-F1", exact=True)).to_be_visible()
    expect(page.get_by_text("Not read: 1")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="All pictures as CSV").click()
    rows = list(csv.DictReader(download.value.path().open(encoding="utf-8")))
    assert len(rows) == 25
    assert rows[0]["unlike training"] in ("yes", "no")
    page.screenshot(path=tmp_path / "many.png", full_page=True)
