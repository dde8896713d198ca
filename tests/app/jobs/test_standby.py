"""The process that is ready to train: taken over, replaced, unwanted, gone."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app.jobs import standby, trainings
from app.jobs.standby import Standby
from app.ui import entry, words
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache
from mocoop.presets import preset
from mocoop.runs.status import CANCELLED, FINISHED
from mocoop.training.ahead import encode_ahead
from mocoop.training.prepare import prepare
from mocoop.training.snapshots import saved_epoch
from tests.app.jobs.test_trainings import is_running, long_config, wait_until
from tests.support.page_fixtures import APP, tiny_config


@pytest.fixture
def ready(empty_runs, monkeypatch, tmp_path):
    """A server's own process that stands by, on an empty cache."""
    monkeypatch.setenv("MOCOOP_STANDBY", "1")
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    own = Standby()
    monkeypatch.setattr(trainings, "STANDBY", own)
    monkeypatch.setattr(standby, "STANDBY", own)
    standby.stand_by()
    yield own
    for run in trainings.active_runs():
        trainings.cancel_run(run, patience=1)
    for child in psutil.Process().children():
        if "app.jobs.standby_worker" in child.cmdline():
            child.kill()
            child.wait(20)


def process_of(own: Standby) -> subprocess.Popen[bytes]:
    assert own._process is not None
    return own._process


@pytest.mark.long
def test_a_training_takes_the_process_over_and_has_the_same_result(ready, tmp_path):
    pid = process_of(ready).pid
    first = trainings.start_run(tiny_config())
    assert first.status().pid == pid
    wait_until(lambda: not trainings.active_runs())
    assert first.status().state == FINISHED, trainings.log_tail(first)
    wait_until(lambda: not psutil.pid_exists(pid), 20)
    second = trainings.start_run(tiny_config())  # without a process that stands by
    assert second.status().pid != pid
    wait_until(lambda: not trainings.active_runs())
    for key, value in first.results().items():
        if "seconds" not in key:
            assert second.results()[key] == value, key
    assert first.weights().keys() == second.weights().keys()
    assert all(first.weights()[name].equal(second.weights()[name]) for name in first.weights())


@pytest.mark.long
def test_its_training_can_be_cancelled_and_continued_by_another(ready):
    run = trainings.start_run(long_config())
    wait_until(lambda: (saved_epoch(run.path) or 0) > 0)
    trainings.cancel_run(run)
    assert run.status().state == CANCELLED
    standby.stand_by()
    pid, saved = process_of(ready).pid, trainings.resumes_after(run)
    trainings.resume_run(run)
    assert run.status().pid == pid
    wait_until(lambda: is_running(run) and run.status().epoch > saved)


@pytest.mark.long
def test_folders_may_change_while_it_stands_by(ready, monkeypatch, tmp_path):
    pid = process_of(ready).pid
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "others"))
    run = trainings.start_run(tiny_config())
    assert run.path.parent == tmp_path / "others"
    assert run.status().pid == pid
    wait_until(lambda: run.status().state == FINISHED)


def test_what_it_prints_goes_to_the_runs_log(ready):
    run = trainings.start_run(replace(tiny_config(), data="/no/such/folder"))
    wait_until(lambda: not run.status().active)
    assert "/no/such/folder" in run.status().message
    wait_until(lambda: "/no/such/folder" in trainings.log_tail(run))  # printed after the status


def test_one_process_stands_by_and_none_while_a_run_trains(ready):
    pid = process_of(ready).pid
    standby.stand_by()
    assert process_of(ready).pid == pid
    trainings.start_run(long_config())
    standby.stand_by()
    assert ready._process is None
    other = trainings.start_run(tiny_config())  # starts a process of its own, which waits
    assert other.status().pid != pid


@pytest.mark.long
def test_a_process_that_has_ended_is_replaced_and_never_given_a_training(ready):
    process = process_of(ready)
    process.kill()
    process.wait(20)
    run = trainings.start_run(tiny_config())
    assert run.status().pid != process.pid
    wait_until(lambda: run.status().state == FINISHED)
    standby.stand_by()
    assert process_of(ready).pid != process.pid


def test_one_that_fails_by_itself_is_not_started_over_and_over(ready):
    process = process_of(ready)
    process.kill()
    process.wait(20)
    standby.stand_by()
    assert process_of(ready) is process


@pytest.mark.long
def test_it_ends_with_the_server():
    command = "import sys, time; from app.jobs.standby import Standby; import os\n"
    command += "own = Standby(); own.keep_ready(dict(os.environ)); print(own._process.pid)"
    environment = os.environ | {"MOCOOP_STANDBY": "1"}
    server = subprocess.run(
        [sys.executable, "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    pid = int(server.stdout)
    wait_until(lambda: not psutil.pid_exists(pid), 60)


@pytest.mark.parametrize(
    "variables", [{"MOCOOP_STANDBY": "0"}, {"MOCOOP_STANDBY": "1", "MOCOOP_READ_ONLY": "1"}]
)
def test_not_wanted(monkeypatch, empty_runs, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    own = Standby()
    monkeypatch.setattr(trainings, "STANDBY", own)
    monkeypatch.setattr(standby, "STANDBY", own)
    standby.stand_by()
    assert own._process is None


def test_variable_that_means_neither(monkeypatch):
    monkeypatch.setenv("MOCOOP_STANDBY", "perhaps")
    with pytest.raises(UserError, match="MOCOOP_STANDBY must be 1 or 0; got 'perhaps'"):
        Standby().is_wanted()


def test_system_without_more_processes(monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("no more processes")

    monkeypatch.setattr(standby.subprocess, "Popen", refuse)
    own = Standby()
    own.keep_ready({})
    assert own._process is None


@pytest.mark.long
def test_encoded_ahead_is_all_that_a_training_needs(tmp_path, monkeypatch):
    config = replace(preset("coop"), data="details", shots=1)
    encode_ahead(config, lambda: False, tmp_path)
    prepared = prepare(config)
    cache = FeatureCache(prepared.backbone, tmp_path)

    def refuse(*arguments):
        raise AssertionError("an image is encoded again")

    monkeypatch.setattr(FeatureCache, "_compute", refuse)
    cache.features(prepared.dataset, prepared.train_items, config.views, config.seed)
    cache.features(prepared.dataset, prepared.val_items)
    cache.features(prepared.dataset, prepared.dataset.items("test"))


def test_encoding_ahead_stops_and_keeps_what_it_has(tmp_path):
    asked = iter([False, False, True])
    encode_ahead(replace(preset("coop"), data="details", shots=1), lambda: next(asked), tmp_path)
    assert list(tmp_path.rglob("*.safetensors"))
    encode_ahead(preset("coop"), lambda: True, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        (words.HOME, [words.HOME, "torch soon", "stand by"]),
        (words.DATA, ["torch", words.DATA, "torch soon", "stand by"]),
        (words.TRAIN, ["stand by", "torch", words.TRAIN, "torch soon", "stand by"]),
    ],
)
def test_app_makes_it_ready(monkeypatch, title, expected):
    order = []

    def navigation(pages, **options):
        page = next(page for page in pages if page.title == title)
        monkeypatch.setattr(page, "run", lambda: order.append(title))
        return page

    monkeypatch.setattr(st, "navigation", navigation)
    monkeypatch.setattr(standby, "stand_by", lambda: order.append("stand by"))
    monkeypatch.setattr(entry, "wait_for_imports", lambda: order.append("torch"))
    monkeypatch.setattr(entry, "import_soon", lambda: order.append("torch soon"))
    app = AppTest.from_file(str(APP), default_timeout=120).run()
    assert not app.exception
    assert order == expected


def test_what_comes_before_needs_no_torch():
    lines = [line for line in APP.read_text().splitlines() if line.startswith(("from", "import"))]
    assert len(lines) > 5
    command = "\n".join([*lines, "import sys", "print('torch' in sys.modules)"])
    found = subprocess.run(
        [sys.executable, "-c", command], cwd=APP.parent, capture_output=True, text=True, check=True
    )
    assert found.stdout == "False\n"


def test_a_job_has_the_same_folders_as_the_server(monkeypatch, tmp_path):
    """It runs in the project's folder: `~` and relative paths would lead elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MOCOOP_RUNS", "mine")
    monkeypatch.setenv("MOCOOP_CACHE", "~/cache")
    monkeypatch.delenv("MOCOOP_DATA", raising=False)
    environment = standby.job_environment()
    assert environment["MOCOOP_RUNS"] == str(tmp_path / "mine")
    assert environment["MOCOOP_CACHE"] == str(tmp_path / "home/cache")
    assert environment["MOCOOP_DATA"] == str(tmp_path / "data")
