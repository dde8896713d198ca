"""Weights are downloaded whole or not at all, from a hub of the test's own."""

from __future__ import annotations

import errno
import threading
import time

import pytest
from filelock import FileLock

from mocoop.clip import hub
from mocoop.clip.hub import HubOfflineError, HubWeights, cached_file, download, remove_leftovers
from mocoop.clip.known import weights_of
from mocoop.errors import UserError
from tests.support.hub_server import HALF, NAME, PICKLE, SAFE, path_of


@pytest.fixture
def weights() -> HubWeights:
    found = weights_of(NAME)
    assert found is not None
    return found


def test_a_file_arrives_whole_and_is_found(hub_server, weights):
    assert cached_file(weights) is None
    path = download(weights)
    assert path.read_bytes() == hub_server.files[path_of(SAFE)]
    assert cached_file(weights) == path
    hub_server.asked.clear()
    hub.check_available({"hf_hub": f"{weights.repository}/"})
    assert hub_server.asked == []


def test_progress_is_told_and_a_part_is_no_file(hub_server, weights, monkeypatch):
    monkeypatch.setattr(hub, "LOOK_SECONDS", 0.05)
    hub_server.open_gate.clear()
    told: list[tuple[int, int]] = []
    thread = threading.Thread(target=download, args=(weights, lambda *call: told.append(call)))
    thread.start()
    end = time.monotonic() + 30
    while not any(received > 0 for received, _ in told):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert cached_file(weights) is None
    hub_server.open_gate.set()
    thread.join(30)
    assert cached_file(weights) is not None
    assert told[0] == (0, 2 * HALF)
    assert all(received <= total == 2 * HALF for received, total in told)


def test_a_repository_may_have_only_the_other_file(hub_server, weights):
    hub_server.files[path_of(PICKLE)] = hub_server.files.pop(path_of(SAFE))
    assert download(weights).name == PICKLE
    assert cached_file(weights) == download(weights)


def test_what_the_hub_does_not_have_is_told(hub_server, weights):
    hub_server.files.clear()
    with pytest.raises(UserError, match=f"has no file {SAFE} or {PICKLE}"):
        download(weights)


def test_a_refusal_is_told_in_one_line(hub_server, weights):
    hub_server.status.append(403)
    with pytest.raises(UserError, match="cannot be downloaded: 403") as caught:
        download(weights)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, HubOfflineError)


def test_no_answer_is_told_as_offline(hub_cache, weights):
    with pytest.raises(HubOfflineError, match="does not answer: no network in tests"):
        hub_error(weights)


def hub_error(weights: HubWeights) -> None:
    """Downloads with the refusing connection of the tests, as the system would refuse it."""
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*arguments, **options):
            raise hub.URLError("no network in tests")

        patch.setattr(hub, "urlopen", refuse)
        download(weights)


def test_a_hub_that_is_switched_off_is_not_asked(hub_server, weights, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubOfflineError, match="HF_HUB_OFFLINE"):
        download(weights)
    assert hub_server.asked == []


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENOSPC, "Free some space"), (errno.EACCES, "writable")]
)
def test_a_disk_that_refuses_is_told(hub_server, weights, monkeypatch, number, advice):
    def refuse(*arguments, **options):
        raise OSError(number, "refused")

    monkeypatch.setattr(hub, "hf_hub_download", refuse)
    with pytest.raises(UserError, match=advice):
        download(weights)


def test_only_parts_that_nobody_writes_are_removed(hub_cache, weights):
    blobs, locks = weights.folder / "blobs", hub_cache / ".locks" / weights.folder.name
    blobs.mkdir(parents=True)
    locks.mkdir(parents=True)
    dead, alive = blobs / "aaa.1234.incomplete", blobs / "bbb.5678.incomplete"
    for part in (dead, alive, blobs / "ccc"):
        part.touch()
    with FileLock(locks / "bbb.lock"):
        remove_leftovers(weights)
        assert sorted(path.name for path in blobs.iterdir()) == [alive.name, "ccc"]
    remove_leftovers(weights)
    assert [path.name for path in blobs.iterdir()] == ["ccc"]


def test_a_folder_without_the_weights_is_not_cached(hub_cache, weights):
    """The hub makes the folder before the file arrives."""
    snapshot = weights.folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (weights.folder / "refs").mkdir()
    (weights.folder / "refs" / "main").write_text("abc")
    (snapshot / "open_clip_config.json").touch()
    assert cached_file(weights) is None
    with pytest.raises(OSError, match="no network"):
        hub.check_available({"hf_hub": f"{weights.repository}/"})


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"hf_hub": "a/b/"}, HubWeights("a/b", (SAFE, PICKLE))),
        ({"hf_hub": "a/b/c.bin"}, HubWeights("a/b", ("c.safetensors", "c.bin"))),
        ({"hf_hub": "a/b/c.safetensors"}, HubWeights("a/b", ("c.safetensors",))),
        ({"url": "https://example.org/weights.pt"}, None),
        ({}, None),
    ],
)
def test_files_are_looked_for_as_open_clip_does(settings, found):
    assert hub.hub_weights(settings) == found
