"""Imports of prompts in processes: their files, their status, and how they are stopped."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import psutil
import pytest

from app.compare import import_words
from app.jobs import imports
from app.jobs.import_worker import CHECKPOINT, ImportRequest, ImportStatus
from app.jobs.job_folder import write_status
from mocoop.clip.backbone import load_backbone
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.runs.run import Run
from mocoop.runs.status import CANCELLED, FINISHED, RUNNING, identity
from tests.exchange.test_import import coop_state, dassl_file, drawn

NAME = "model.pth.tar-50"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / imports.FOLDER


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\prompts\\m.pth", "m.pth"),
        ("..", "x"),
        ("", "x"),
        ("a\0b", "x"),
        ("y" * 300, "y" * 100),
    ],
)
def test_names_of_uploads_lead_nowhere(given, name):
    assert imports.file_name(given, "x") == name


def test_a_long_name_fits_into_a_folder(tmp_path):
    """Most file systems take 255 bytes; a sign can have four."""
    name = imports.file_name("\U00020000" * 200 + ".pth", "x")
    (tmp_path / name).touch()
    assert name.endswith("\U00020000.pth")


def test_old_imports_are_forgotten_and_keys_lead_nowhere(cache, monkeypatch):
    """The newest ones are kept; one that is at work stays; other folders cannot be named."""
    monkeypatch.setattr(imports, "launch", lambda folder: None)
    keys = []
    for _ in range(imports.KEPT + 2):
        keys.append(
            imports.start_import(ImportRequest(NAME, "details", "demo"), {CHECKPOINT: b""})
        )
        folder = cache / keys[-1]
        state = RUNNING if len(keys) == 1 else FINISHED
        write_status(folder, ImportStatus(state, **identity(psutil.Process())))
        os.utime(folder, (time.time() + len(keys),) * 2)
    left = {path.name for path in cache.iterdir()}
    assert keys[0] in left
    assert len(left) == imports.KEPT + 1
    assert imports.status_of("../imports/" + keys[0]) is None
    assert imports.status_of("0" * 16) is None


def test_what_cannot_be_started_leaves_nothing(cache, monkeypatch):
    def refuse(folder):
        raise UserError("no process")

    monkeypatch.setattr(imports, "launch", refuse)
    with pytest.raises(UserError, match="no process"):
        imports.start_import(ImportRequest(NAME, "details", "demo"), {CHECKPOINT: b""})
    assert not list(cache.iterdir())
    monkeypatch.setenv("MOCOOP_READ_ONLY", "1")
    with pytest.raises(UserError, match="read-only"):
        imports.start_import(ImportRequest(NAME, "details", "demo"), {CHECKPOINT: b""})


def test_progress_in_words():
    assert import_words.progress(0, 0) == import_words.READING
    assert import_words.progress(5, 1000) == "Encoding test images: 5 of 1,000"


@pytest.mark.long
def test_a_process_imports_and_one_that_is_stopped_leaves_nothing(cache, empty_runs, tmp_path):
    clip, names = load_backbone("demo"), list(load_dataset("details").class_names)
    file = dassl_file(tmp_path / NAME, coop_state(clip, drawn(4, clip.text.width), names))
    request = ImportRequest(NAME, "details", "demo")
    files = {CHECKPOINT: file.read_bytes()}
    key = imports.start_import(request, files)
    end = time.monotonic() + 300
    while (status := imports.status_of(key)).active and time.monotonic() < end:
        time.sleep(0.2)
    assert status.state == FINISHED, status
    assert Run(empty_runs / status.run).setup().imported == f"{NAME}, 50 epochs"
    before = set(empty_runs.iterdir())
    key = imports.start_import(replace(request, seed=2), files)
    imports.cancel_import(key)
    assert imports.status_of(key).state == CANCELLED
    assert set(empty_runs.iterdir()) == before
    imports.forget(key)
    assert imports.status_of(key) is None
