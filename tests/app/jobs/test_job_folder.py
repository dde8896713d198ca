"""The folders of background jobs: a damaged status never raises, and a full disk is told."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from dataclasses import asdict

import psutil
import pytest

from app.jobs import downloads, federations, imports, template_jobs
from app.jobs.download_worker import DownloadStatus
from app.jobs.import_worker import ImportRequest, ImportStatus
from app.jobs.job_folder import (
    REQUEST,
    Job,
    forget_old,
    hand_over,
    mark_cancelled,
    new_status,
    request_in,
    status_in,
    stop_job,
    write_status,
)
from app.jobs.template_worker import LINES, MakingRequest, MakingStatus
from mocoop.clip.hub import HubWeights
from mocoop.errors import UserError
from mocoop.runs import status as run_status
from mocoop.runs.formats import FORMAT
from mocoop.runs.status import (
    CANCELLED,
    FAILED,
    FINISHED,
    INTERRUPTED,
    RUNNING,
    STATUS_FILE,
    Status,
    status_values,
)
from mocoop.storage.atomic import write_json
from mocoop.storage.formats import NewerError
from tests.runs.test_odd_files import STATUS, write
from tests.support.hub_server import NAME

KINDS = (Status, DownloadStatus, ImportStatus, MakingStatus)
ODD = {
    Status: (),
    DownloadStatus: ({"received": "x"}, {"total": -1}, {"offline": 2}),
    ImportStatus: ({"done": None}, {"notes": [1]}, {"notes": "abc"}, {"run": 3}),
    MakingStatus: ({"step": 1}, {"total": 1.5}),
}
KEY = "0123456789abcdef"


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_status_is_none(tmp_path, kind):
    good = new_status(kind)
    for harm in (*STATUS, *ODD[kind], {"format": FORMAT + 1}, {"format": "x"}, "\x00", ""):
        write_status(tmp_path, good)
        assert status_in(tmp_path, kind).state == "queued"
        write(tmp_path / STATUS_FILE, harm)
        assert status_in(tmp_path, kind) is None, harm
    (tmp_path / STATUS_FILE).unlink()
    assert status_in(tmp_path, kind) is None
    (tmp_path / STATUS_FILE).mkdir()
    assert status_in(tmp_path, kind) is None
    assert status_in(tmp_path / "none", kind) is None


def test_pages_read_damaged_files_as_no_job(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path))
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "runs"))
    folder = tmp_path / "runs/federated/odd"
    for harm in ("[" * 100_000, "{", "null", '{"state": 3}'):
        for path in (downloads._folder(NAME), imports._folder(KEY),
                     template_jobs._folder(KEY), folder):  # fmt: skip
            path.mkdir(parents=True, exist_ok=True)
            for name in (STATUS_FILE, REQUEST, "candidates.json", "made.json"):
                (path / name).write_text(harm)
        assert downloads.status_of(NAME) is None
        assert imports.status_of(KEY) is None
        assert template_jobs.status_of(KEY) is None
        assert template_jobs.request_of(KEY) is None
        assert template_jobs.candidates_of(KEY) == ()
        with pytest.raises(UserError):
            template_jobs.result_of(KEY)
        assert federations.status_of(folder) is None
        assert federations.active_federations() == federations.stopped_federations() == {}
        downloads.cancel_download(NAME)
        imports.cancel_import(KEY)
        template_jobs.cancel_making(KEY)
        federations.cancel_federation(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_whose_process_ended_before_it_was_handed_over_is_interrupted(tmp_path, kind):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_status(tmp_path, new_status(kind))
    hand_over(tmp_path, kind, ended.pid)
    assert status_in(tmp_path, kind).state == INTERRUPTED


def test_every_status_names_the_format_of_the_store(tmp_path):
    for kind in KINDS:
        write_status(tmp_path, new_status(kind))
        assert json.loads((tmp_path / STATUS_FILE).read_text())["format"] == FORMAT


def test_a_status_without_a_format_is_read(tmp_path):
    """Imports and federations of earlier versions do not name it."""
    values = status_values(ImportStatus(FINISHED, run="r", notes=("a", "b")))
    write_json(tmp_path / STATUS_FILE, {k: v for k, v in values.items() if k != "format"})
    assert status_in(tmp_path, ImportStatus).notes == ("a", "b")


@pytest.mark.parametrize(
    "request_", [HubWeights("a/b", ("c", "d")), ImportRequest("f", "details", "demo"),
                 MakingRequest("details", "", "demo")], ids=lambda one: type(one).__name__
)  # fmt: skip
def test_a_request_comes_back_and_an_odd_one_is_told(tmp_path, request_):
    values, kind = asdict(request_), type(request_)
    write_json(tmp_path / REQUEST, values)
    assert request_in(tmp_path, kind) == request_
    for harm in ({}, values | {next(iter(values)): 3}, values | {"newer": 1}):
        write_json(tmp_path / REQUEST, harm)
        with pytest.raises(UserError, match=r"request\.json"):
            request_in(tmp_path, kind)


def test_a_full_disk_overwrites_the_status_or_says_so(tmp_path, monkeypatch):
    """Without an old file, the error is that of the disk: a page has words for it."""

    def full(path, value):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    write_status(tmp_path, new_status(Status))
    monkeypatch.setattr(run_status, "write_json", full)
    write_status(tmp_path, Status(FAILED, "no room"))
    assert status_in(tmp_path, Status).message == "no room"
    (tmp_path / STATUS_FILE).unlink()
    with pytest.raises(OSError, match="No space left"):
        write_status(tmp_path, Status(FAILED))


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (None, FINISHED, ""),
        (UserError("no such set"), FAILED, "no such set"),
        (OSError(errno.ENOSPC, "full", "/runs/x"), FAILED, "the disk of /runs/x is full"),
        (OSError(errno.EROFS, "Read-only file system", "/runs/x"), FAILED, "/runs/x cannot be"),
    ],
)
def test_a_job_says_how_it_ended(tmp_path, error, state, message):
    write_status(tmp_path, new_status(ImportStatus))
    job = Job.begun(tmp_path, ImportStatus)
    assert status_in(tmp_path, ImportStatus).state == RUNNING
    with job.outcome():
        if error is not None:
            raise error
    assert status_in(tmp_path, ImportStatus).state == RUNNING
    job.show(done=3)
    ended = status_in(tmp_path, ImportStatus)
    assert (ended.state, ended.done) == (state, 3)
    assert ended.message.startswith(message)


def test_an_error_of_our_own_is_not_hidden(tmp_path):
    write_status(tmp_path, new_status(Status))
    with pytest.raises(OSError, match="odd"), Job.begun(tmp_path, Status).outcome():
        raise OSError(errno.EIO, "odd")


def test_only_a_stopped_process_makes_a_job_cancelled(tmp_path):
    write_status(tmp_path, new_status(Status))
    assert not stop_job(status_in(tmp_path, Status), 1)  # this process stands for it
    mark_cancelled(tmp_path, Status)
    assert status_in(tmp_path, Status).state == "queued"
    ended = psutil.Popen(["true"])
    write_status(tmp_path, Status(RUNNING, pid=ended.pid, process_started=1.0))
    ended.wait(20)
    assert status_in(tmp_path, Status).state == INTERRUPTED
    mark_cancelled(tmp_path, Status)
    assert status_in(tmp_path, Status).state == CANCELLED
    assert not stop_job(None, 1)


def test_old_jobs_are_forgotten_and_other_folders_stay(tmp_path):
    keys = [f"{number:016x}" for number in range(4)]
    for key in (*keys, "mine"):
        (tmp_path / key).mkdir()
    write_status(tmp_path / keys[0], new_status(Status))  # at work
    forget_old(tmp_path, Status, 0)
    assert {path.name for path in tmp_path.iterdir()} == {keys[0], "mine"}


def test_a_server_from_before_an_update_leaves_newer_jobs_alone(tmp_path, monkeypatch, hub_server):
    """It neither starts the same job a second time nor removes its folder."""
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path))
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "runs"))
    request = MakingRequest("details", "", "demo", LINES, lines="a photo of a {}.")
    key = template_jobs.key_of(request)
    federation = tmp_path / "runs/federated/new"
    folders = [downloads._folder(NAME), template_jobs._folder(key), federation]
    folders += [imports._folder(f"{number:016x}") for number in range(imports.KEPT + 2)]
    for folder in folders:
        folder.mkdir(parents=True)
        values = {"format": FORMAT + 1, "version": "99.1", "state": "at work"}
        write_json(folder / STATUS_FILE, values)
        write_json(folder / REQUEST, asdict(HubWeights("a/b", ("c",))))
    before = content(tmp_path)
    acts = (
        lambda: downloads.start_download(NAME),
        lambda: template_jobs.start_making(request, "127.0.0.1"),
        lambda: federations._start_again(federation, None),
    )
    for act in acts:
        with pytest.raises(NewerError, match="was written by a newer version of MoCoOp"):
            act()
    for number in range(imports.KEPT + 2):
        imports.cancel_import(f"{number:016x}")
        imports.forget(f"{number:016x}")
    forget_old(imports._folder(""), ImportStatus, 0)
    downloads.cancel_download(NAME)
    template_jobs.cancel_making(key)
    federations.cancel_federation(federation)
    assert federations.active_federations() == federations.stopped_federations() == {}
    assert content(tmp_path) == before


def content(folder):
    """Returns what every file below a folder holds."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
