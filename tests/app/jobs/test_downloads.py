"""Downloads as processes: start, progress, cancel, and what a killed one leaves."""

from __future__ import annotations

import signal

import psutil
import pytest

from app.jobs import downloads
from mocoop.clip.hub import cached_file
from mocoop.clip.known import weights_of
from mocoop.errors import UserError
from mocoop.runs.status import CANCELLED, FAILED, FINISHED, INTERRUPTED, RUNNING
from tests.app.jobs.test_trainings import wait_until
from tests.support.hub_server import HALF, NAME, SAFE, path_of

WEIGHTS = weights_of(NAME)


@pytest.fixture(autouse=True)
def stop(hub_server):
    """Leaves no process behind, whatever a test does."""
    yield
    downloads.cancel_download(NAME, patience=1)


def state() -> str:
    status = downloads.status_of(NAME)
    return "" if status is None else status.state


def start_and_wait_for_half(hub) -> downloads.DownloadStatus:
    hub.open_gate.clear()
    downloads.start_download(NAME)
    wait_until(lambda: downloads.status_of(NAME).received > 0)
    status = downloads.status_of(NAME)
    assert (status.state, status.total) == (RUNNING, 2 * HALF)
    return status


def parts() -> list[str]:
    return [path.name for path in (WEIGHTS.folder / "blobs").glob("*.incomplete")]


def test_a_download_runs_and_is_not_started_twice(hub_server):
    assert downloads.status_of(NAME) is None
    first = start_and_wait_for_half(hub_server)
    assert first.received >= HALF // 2
    downloads.start_download(NAME)
    assert downloads.status_of(NAME).pid == first.pid
    assert cached_file(WEIGHTS) is None
    hub_server.open_gate.set()
    wait_until(lambda: state() == FINISHED)
    assert cached_file(WEIGHTS).read_bytes() == hub_server.files[path_of(SAFE)]
    hub_server.asked.clear()
    downloads.start_download(NAME)
    assert (state(), hub_server.asked) == (FINISHED, [])


def test_a_cancelled_one_leaves_no_part_and_can_start_again(hub_server):
    start_and_wait_for_half(hub_server)
    downloads.cancel_download(NAME)
    assert (state(), parts(), cached_file(WEIGHTS)) == (CANCELLED, [], None)
    hub_server.open_gate.set()
    downloads.start_download(NAME)
    wait_until(lambda: state() == FINISHED)


def test_a_killed_one_is_interrupted_and_the_next_removes_its_part(hub_server):
    status = start_and_wait_for_half(hub_server)
    psutil.Process(status.pid).send_signal(signal.SIGKILL)
    wait_until(lambda: state() == INTERRUPTED)
    assert cached_file(WEIGHTS) is None
    assert len(parts()) == 1
    hub_server.open_gate.set()
    downloads.start_download(NAME)
    wait_until(lambda: state() == FINISHED)
    assert parts() == []


def test_a_failure_is_told_in_the_status(hub_server):
    hub_server.files.clear()
    downloads.start_download(NAME)
    wait_until(lambda: state() == FAILED)
    status = downloads.status_of(NAME)
    assert "has no file" in status.message
    assert not status.offline


def test_no_answer_is_told_as_offline(hub_server, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    downloads.start_download(NAME)
    wait_until(lambda: state() == FAILED)
    assert downloads.status_of(NAME).offline


def test_a_read_only_server_downloads_nothing(hub_server, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("MOCOOP_READ_ONLY", "1")
        for change in (downloads.start_download, downloads.cancel_download):
            with pytest.raises(UserError, match="read-only"):
                change(NAME)
    assert downloads.status_of(NAME) is None


def test_what_is_on_no_hub_is_told():
    with pytest.raises(UserError, match="demo cannot be downloaded"):
        downloads.start_download("demo")


def test_a_process_that_cannot_start_leaves_no_status(monkeypatch):
    def refuse(*arguments):
        raise UserError("The download's process cannot be started")

    monkeypatch.setattr(downloads, "start_process", refuse)
    with pytest.raises(UserError, match="cannot be started"):
        downloads.start_download(NAME)
    assert downloads.status_of(NAME) is None
