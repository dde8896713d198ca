"""The folder of runs is deleted while pages are open: they go on, with what is left."""

from __future__ import annotations

import shutil

import pytest

from app.jobs.trainings import cancel_run
from mocoop.runs.run import Run
from tests.support.page_fixtures import open_page


@pytest.mark.parametrize("page", ["train", "compare", "routing"])
def test_an_open_page_goes_on(one_run, page):
    app = open_page(f"pages/{page}.py")
    assert not app.exception
    shutil.rmtree(one_run.path.parent)
    app.run()
    assert not app.exception
    if page == "train":
        app.button(key="start").click().run()  # makes the folder anew
        assert not app.exception
        (made,) = one_run.path.parent.iterdir()
        cancel_run(Run(made))
