"""The tab New templates without processes: what is asked for is answered in the test's own."""

from __future__ import annotations

from dataclasses import asdict

from app.common import state
from app.jobs import template_jobs, template_worker
from app.jobs.job_folder import REQUEST, new_status, write_status
from app.jobs.template_worker import LINES, MakingStatus
from mocoop.storage.atomic import write_json
from tests.support.page_fixtures import open_page
from tests.support.tiny_data import picture_folder

PAGE = "pages/data.py"


def pictures_at_hand(tmp_path, monkeypatch):
    """Returns a folder of pictures; the process that writes templates runs in this one.

    The test has the fixture `empty_runs` too.
    """
    monkeypatch.setenv("MOCOOP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(template_jobs, "start_making", make_here)
    return picture_folder(tmp_path / "data/uploads/things")


def make_here(request, address):
    """Answers a request at once, instead of in a process."""
    template_jobs.check_request(request, address)
    folder = template_jobs._folder(template_jobs.key_of(request))
    folder.mkdir(parents=True)
    write_status(folder, new_status(MakingStatus))
    write_json(folder / REQUEST, asdict(request))
    template_worker.main(folder)
    return folder.name


def said(app):
    kinds = (app.markdown, app.caption, app.info, app.warning, app.error, app.success)
    return "\n".join(element.value for kind in kinds for element in kind)


def press(app, label):
    return next(b for b in app.button if b.label == label).click().run()


def opened(folder):
    return open_page(PAGE, data=folder, look_at="New templates")


def written(app, lines):
    app.segmented_control(key=state.MADE_WRITER).set_value(LINES).run()
    app.text_area(key=state.MADE_LINES).set_value("\n".join(lines)).run()
    return press(app, "Write templates")


def groups_of(app, folder):
    key = app.query_params[state.MADE]
    return app.session_state[f"{state.MADE_HISTORY} {folder} {key}"][-1]


def keyed(app, name, changes):
    """Returns the key of a widget of the groups that are shown, after a number of changes."""
    return f"{name} {app.query_params[state.MADE]} {changes}"
