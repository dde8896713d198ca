"""A public site: no page offers to train, delete, import or upload data."""

from __future__ import annotations

import pytest

from tests.support.page_fixtures import open_page

FORBIDDEN = ("Train now", "Delete", "Import", "Start training", "Use it", "Save the names")


@pytest.mark.parametrize("page", ["home", "data", "train", "compare", "overfitting_lab"])
def test_nothing_can_be_changed(one_run, monkeypatch, page):
    monkeypatch.setenv("MOCOOP_READ_ONLY", "1")
    app = open_page(f"pages/{page}.py")
    assert not app.exception
    labels = [button.label for button in app.button]
    assert not [label for label in labels if label.startswith(FORBIDDEN)]
    assert not app.get("file_uploader")
