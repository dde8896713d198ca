"""A server says so when the program's files are newer than itself."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from app.ui import entry, words
from tests.support.page_fixtures import APP


def start_of_a_page():
    from app.ui.entry import warn_of_new_code

    warn_of_new_code()


def test_updated_while_the_app_runs(monkeypatch):
    entry._newest_code.clear()
    app = AppTest.from_function(start_of_a_page).run()
    assert not app.warning
    monkeypatch.setattr(entry, "STARTED", 0.0)
    app.run()
    assert [warning.value for warning in app.warning] == [words.UPDATED]


def test_every_page_starts_with_it():
    assert "\n    warn_of_new_code()\n    page.run()\n" in APP.read_text()


def test_newest_file(tmp_path):
    assert entry._newest_code(str(tmp_path)) == 0.0
    for folder in entry.CODE:
        (tmp_path / folder / "inner").mkdir(parents=True)
    (tmp_path / "app" / "inner" / "a.py").write_text("")
    (tmp_path / "app" / "notes.txt").write_text("")
    expected = (tmp_path / "app" / "inner" / "a.py").stat().st_mtime
    entry._newest_code.clear()
    assert entry._newest_code(str(tmp_path)) == expected
