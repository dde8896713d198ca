"""What was chosen on test images is said on the Routing and the Compare page."""

from __future__ import annotations

import pytest

from app.compare.words import MEANS
from mocoop.api import preset
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment
from tests.support.benchmark_files import add_imagenet
from tests.support.page_fixtures import open_page

WORDS = "α and β were chosen on validation images that are the test images"


@pytest.fixture
def tip_run(empty_runs, tmp_path, monkeypatch):
    """Tip-Adapter on a small ImageNet."""
    monkeypatch.setenv("MOCOOP_DATA", str(tmp_path / "data"))
    add_imagenet(tmp_path / "data")
    path = empty_runs / "tip"
    for _ in run_experiment(preset("tip-adapter", data="imagenet", shots=2), path):
        pass
    return Run(path)


@pytest.mark.long
def test_both_pages_say_it(tip_run):
    app = open_page("pages/routing.py", run=tip_run.name)
    assert not app.exception
    assert WORDS in " ".join(str(element.value) for element in app.warning)
    app = open_page("pages/compare.py")
    assert not app.exception
    assert app.dataframe[0].value["settings"].tolist() == ["α and β chosen on test images"]
    app = open_page("pages/compare.py", table=MEANS)
    assert not app.exception
    said = " ".join(str(element.value) for element in app.markdown)
    assert "Tip-Adapter †" in said
    assert "chosen on validation images that are the test images (imagenet)" in said
