"""A public site: no page offers to change anything, and every function that does refuses.

A button that is not shown is no protection: a message can be made by hand, and a page can have
been loaded before. So the functions that write are called here without any page, too.
"""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.common import access, changes
from app.jobs import downloads, federations, imports, seeds, template_jobs, trainings
from app.jobs.import_worker import ImportRequest
from app.jobs.template_worker import LINES, MODEL, MakingRequest
from app.lab import runs as lab_runs
from app.ui.data_picker import data_name
from mocoop.datasets.edits import Edits
from mocoop.errors import UserError
from mocoop.federated.settings import FederatedConfig
from mocoop.runs.run import Run
from tests.support.hub_server import NAME as CLIP
from tests.support.page_fixtures import open_page, tiny_config

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = ("Train now", "Delete", "Import", "Start training", "Use it", "Save the names")
PAGES = ["home", "data", "train", "compare", "overfitting_lab", "routing", "prompt_space"]
MADE = MakingRequest("details", "", "demo", LINES, lines="a photo of a {}.")
WRITERS = {
    *("keep_upload", "write_edits", "add_skipped", "read_archive", "delete_run", "import_prompts"),
    *("queue_run", "queue_again", "start_process", "stop_job"),
}
"""Functions that write for a visitor, or start or stop a process."""
GUARDED = {
    "app/common/changes.py",
    "app/jobs/downloads.py",
    "app/jobs/federations.py",
    "app/jobs/import_worker.py",  # a process that `imports` starts
    "app/jobs/imports.py",
    "app/jobs/template_jobs.py",
    "app/jobs/trainings.py",
}
"""The only files of the app that call them; all their functions are tried below."""


ACTIONS = {
    "start a training": lambda folder, run: trainings.start_run(tiny_config()),
    "continue a training": lambda folder, run: trainings.resume_run(run),
    "stop a training": lambda folder, run: trainings.cancel_run(run),
    "train other seeds": lambda folder, run: seeds.start_seeds(tiny_config()),
    "train for the lab": lambda folder, run: lab_runs.start({"a": tiny_config()}),
    "delete trainings of the lab": lambda folder, run: lab_runs.remove([run]),
    "download a CLIP": lambda folder, run: downloads.start_download(CLIP),
    "stop a download": lambda folder, run: downloads.cancel_download(CLIP),
    "ask a chat model": lambda folder, run: template_jobs.start_making(
        MakingRequest("details", "", "demo", MODEL, model="m"), "127.0.0.1"
    ),
    "write templates with another CLIP": lambda folder, run: template_jobs.start_making(
        MakingRequest("details", "", "/etc/clip", LINES, lines="a photo of a {}."), None
    ),
    "upload data": lambda folder, run: changes.store_upload(io.BytesIO(b""), "a.zip"),
    "rename classes, save groups": lambda folder, run: changes.save_edits(folder, Edits()),
    "leave images out": lambda folder, run: changes.leave_out(folder, {"a.png": "broken"}),
    "import a run": lambda folder, run: changes.import_run(io.BytesIO(b""), "a", "below"),
    "import prompts": lambda folder, run: imports.start_import(
        ImportRequest("model.pth.tar-50", "details", "demo"), {}
    ),
    "stop an import": lambda folder, run: imports.cancel_import("0" * 16),
    "start a federation": lambda folder, run: federations.start_federation(FederatedConfig()),
    "continue a federation": lambda folder, run: federations.go_on(folder),
    "stop a federation": lambda folder, run: federations.cancel_federation(folder),
    "delete a run": lambda folder, run: changes.delete(run),
    "compute with another CLIP": lambda folder, run: access.check_clip("ViT-B-16/openai", None),
    "open a folder": lambda folder, run: data_name(str(folder)),
}


def content(*folders):
    return {path: path.stat().st_mtime_ns for root in folders for path in root.rglob("*")}


@pytest.mark.parametrize("page", PAGES)
def test_nothing_can_be_changed(one_run, monkeypatch, page):
    monkeypatch.setenv("MOCOOP_READ_ONLY", "1")
    before = content(one_run.path)
    app = open_page(f"pages/{page}.py")
    assert not app.exception
    assert content(one_run.path) == before
    labels = [button.label for button in app.button]
    assert not [label for label in labels if label.startswith(FORBIDDEN)]
    assert not app.get("file_uploader")


@pytest.mark.parametrize("action", ACTIONS)
def test_every_function_that_writes_refuses_by_itself(one_run, tmp_path, monkeypatch, action):
    monkeypatch.setenv("MOCOOP_READ_ONLY", "1")
    monkeypatch.setenv("MOCOOP_DATA", str(tmp_path / "data"))
    own = tmp_path / "own"
    own.mkdir()
    before = content(tmp_path)
    with pytest.raises(UserError, match=r"read-only|only the data sets in its menu"):
        ACTIONS[action](own, Run(one_run.path))
    assert content(tmp_path) == before


def test_nothing_else_in_the_app_writes():
    found = set()
    for path in [*ROOT.glob("app/**/*.py"), *ROOT.glob("pages/*.py")]:
        calls = [node.func for node in ast.walk(ast.parse(path.read_text()))
                 if isinstance(node, ast.Call)]  # fmt: skip
        names = {getattr(call, "id", getattr(call, "attr", "")) for call in calls}
        if names & WRITERS:
            found.add(path.relative_to(ROOT).as_posix())
    assert found == GUARDED


def test_a_page_that_was_loaded_before_starts_no_training(empty_runs, monkeypatch):
    app = open_page("pages/train.py")
    monkeypatch.setenv("MOCOOP_READ_ONLY", "1")
    app.button(key="start").click().run()
    assert not app.exception
    assert list(empty_runs.iterdir()) == []
    assert access.EXPLAINED in [text.value for text in app.info]


def asked_to_delete(path):
    from pathlib import Path

    from app.compare.run_files import ask_to_delete
    from mocoop.runs.run import Run

    ask_to_delete({"one": Run(Path(path))})


def test_a_page_that_was_loaded_before_deletes_no_run(one_run, monkeypatch):
    app = AppTest.from_function(asked_to_delete, kwargs={"path": str(one_run.path)}).run()
    monkeypatch.setenv("MOCOOP_READ_ONLY", "1")
    app.button(key="destroy").click().run()
    assert not app.exception
    assert one_run.path.is_dir()
    assert access.EXPLAINED in [text.value for text in app.error]


def test_a_message_made_by_hand_names_no_other_clip(one_run, monkeypatch):
    monkeypatch.setenv("MOCOOP_READ_ONLY", "1")
    app = open_page("pages/data.py", data="details", look_at="Templates")
    fields = [field for field in app.text_input if field.label == "CLIP"]
    assert fields
    asked = []

    def backbone(name):
        asked.append(name)
        raise UserError("enough")

    monkeypatch.setattr("app.caches.data.backbone", backbone)
    for field in fields:
        field.proto.disabled = False  # the browser's own refusal, which a message need not heed
        field.set_value("/etc/passwd")
    (button,) = [button for button in app.button if button.label == "Propose groups"]
    button.click().run()
    assert not app.exception
    assert set(asked) <= {"demo"}
