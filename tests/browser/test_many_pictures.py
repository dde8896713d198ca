"""Many pictures in a real browser: upload a zip, classify it, read the table, save it."""

from __future__ import annotations

import csv
import zipfile
from dataclasses import replace

import pytest

from mocoop.presets import preset
from mocoop.training.experiment import run_experiment
from tests.browser.steps import expect, heading, settled
from tests.support.tiny_data import COLOURS, picture_folder

RUN = "cups"


@pytest.fixture
def run_of_few(one_app, workspace):
    """A run on a folder of few pictures, which opens within seconds."""
    data = one_app.runs.parent / "pictures"
    config = replace(preset("mocoop"), data=picture_folder(data), shots=3, epochs=1)
    for _ in run_experiment(config, one_app.runs / RUN):
        pass
    return data


@pytest.fixture
def many(run_of_few, tmp_path):
    """A zip with a folder per class, and one file that is no picture."""
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in COLOURS:
            for file in (run_of_few / "test" / name).iterdir():
                archive.write(file, f"mine/{name}/{file.name}")
        archive.writestr("mine/notes.png", b"no picture")
    return path


def test_a_zip_becomes_a_table(one_app, browser_page, many):
    page = browser_page
    page.goto(f"{one_app.address}/routing?run={RUN}&view=Many+pictures")
    heading(page, "Routing")
    page.locator("input[type=file]").first.set_input_files(many)
    page.get_by_role("button", name="Classify 7 pictures").click()
    expect(page.get_by_text("6 pictures classified")).to_be_visible()
    settled(page)
    expect(page.get_by_text("Not read: 1")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="All pictures as CSV").click()
    rows = list(csv.DictReader(download.value.path().open(encoding="utf-8")))
    assert len(rows) == 7
    assert rows[0]["unlike training"] in ("yes", "no")
    assert {row["true label"] for row in rows[:6]} == set(COLOURS)
