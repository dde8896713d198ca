"""A server says so when the program's files are newer than itself."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from app.ui import entry, words
from tests.support.page_fixtures import APP


def test_updated_while_the_app_runs(empty_runs, monkeypatch):
    entry._newest_code.clear()
    app = AppTest.from_file(str(APP), default_timeout=120).run()
    assert words.UPDATED not in [warning.value for warning in app.warning]
    monkeypatch.setattr(entry, "STARTED", 0.0)
    app.run()
    assert words.UPDATED in [warning.value for warning in app.warning]


def test_newest_file(tmp_path):
    assert entry._newest_code(str(tmp_path)) == 0.0
    for folder in entry.CODE:
        (tmp_path / folder / "inner").mkdir(parents=True)
    (tmp_path / "app" / "inner" / "a.py").write_text("")
    (tmp_path / "app" / "notes.txt").write_text("")
    expected = (tmp_path / "app" / "inner" / "a.py").stat().st_mtime
    entry._newest_code.clear()
    assert entry._newest_code(str(tmp_path)) == expected
