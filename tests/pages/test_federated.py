"""The Federated page: empty, loaded, with a damaged federation, read-only; and a start."""

from __future__ import annotations

import json
from dataclasses import replace

import psutil
import pytest

from app.common import state
from app.federated import words
from app.jobs import federation_worker, federations
from mocoop.federated.comparison import Comparison, compare, folder_name
from mocoop.federated.settings import FederatedConfig
from mocoop.federated.store import DESCRIPTION, read_records, run_federation
from mocoop.runs.status import FAILED, FINISHED
from mocoop.runs.writer import hand_over, queue_run
from tests.support.page_fixtures import open_page
from tests.support.tiny_data import picture_folder, tiny_checkpoint

PAGE = "pages/federated.py"


@pytest.fixture(autouse=True)
def folders(empty_runs, tmp_path, monkeypatch):
    """Folders of the test's own; the process of a federation runs in this one."""
    monkeypatch.setenv("MOCOOP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(federations, "shipped_federations", lambda: tmp_path / "shipped")
    monkeypatch.setattr(federations, "_start_process", train_here)
    return empty_runs / "federated"


def train_here(run):
    hand_over(run, psutil.Process().pid)
    federation_worker.main(run.path)


@pytest.fixture
def settings(tmp_path):
    return FederatedConfig(
        data=picture_folder(tmp_path / "data/uploads/pictures"),
        backbone=tiny_checkpoint(tmp_path / "clip"),
        strategy="local",
        clients=3,
        rounds=2,
        local_epochs=1,
        shots=3,
        learning_rate=0.02,
    )


@pytest.fixture
def trained(settings, folders):
    """A federation with pFedMoAP and one in which each client trains alone."""
    comparison = Comparison(("pathological",), ("pfedmoap", "local"), (1,), settings)
    return [folder_name(config) for config, _ in compare(comparison, folders)]


def said(app):
    kinds = (app.markdown, app.caption, app.info, app.warning, app.error, app.header)
    return "\n".join(element.value for kind in kinds for element in kind)


def press(app, label):
    return next(b for b in app.button if b.label == label).click().run()


def test_an_empty_page_says_what_to_do():
    app = open_page(PAGE)
    assert not app.exception
    assert words.NONE_HERE in said(app)
    assert words.START in [button.label for button in app.button]


def test_a_federation_is_shown_and_a_link_restores_it(trained, folders):
    damaged = folders / "damaged"
    damaged.mkdir()
    (damaged / DESCRIPTION).write_text("{}")
    app = open_page(PAGE)
    assert not app.exception, app.exception
    text = said(app)
    for title in (words.WHO_HAS_WHAT, words.BY_ROUND, words.GAIN_TITLE, words.PROMPTS_OF_OTHERS):
        assert title in text
    assert "points over training alone" in text  # paired with the one alone
    assert words.HOW_TAKEN in text
    assert "damaged is not shown" in text
    assert app.metric[1].value == "2 / 2"
    app = open_page(PAGE, **{state.FEDERATION: trained[1]})
    assert words.THIS_IS_ALONE in said(app)
    assert words.NOTHING_COMES in said(app)
    app = open_page(PAGE, **{state.FEDERATION: "gone"})
    assert words.no_such("gone") in said(app)
    queue_run(folders / "waits")
    app = open_page(PAGE, **{state.FEDERATION: "waits"})
    assert words.AT_ITS_START in said(app)
    assert words.no_such("waits") not in said(app)


def test_what_the_browser_still_sends_changes_no_choice_of_the_page(trained):
    """A new federation is shown by the page; an answer to the box before it is out of date."""
    app = open_page(PAGE)
    (first, other), box = trained, app.selectbox[0]
    assert (box.value, app.query_params.get(state.FEDERATION)) == (first, None)
    box.set_value(other).run()
    assert app.query_params[state.FEDERATION] == other
    assert app.selectbox[0].key == box.key  # the user's choice: the box keeps the focus
    app.query_params[state.FEDERATION] = first  # as the button of a new federation does
    app.run()
    assert app.selectbox[0].value == first
    assert app.selectbox[0].key != box.key
    app.session_state[box.key] = other
    app.run()
    assert app.query_params[state.FEDERATION] == first
    assert app.selectbox[0].value == first


def test_a_federation_that_a_command_trains_is_not_trained_twice(settings, folders):
    """The worker does not wait behind the command: it says why, and the next one has its turn."""
    queued = queue_run(folders / folder_name(settings))
    (queued.path / federations.REQUEST).write_text(json.dumps(settings.to_dict()))
    begun = run_federation(queued.path, settings)
    next(begun)
    train_here(queued)
    status = federations.status_of(queued.path)
    begun.close()
    assert status.state == FAILED
    assert "is being trained already" in status.message


def test_privacy_is_told_where_noise_was_added(settings, folders):
    pytest.importorskip("opacus")
    private = replace(settings, strategy="fedavg", clip=0.5, noise=8.0)
    plain = replace(settings, strategy="fedavg")
    for config in (private, plain):
        list(run_federation(folders / folder_name(config), config))
    app = open_page(PAGE, **{state.FEDERATION: folder_name(private)})
    told = {metric.label: metric.value for metric in app.metric}
    records = read_records(folders / folder_name(private))
    assert told[words.EPSILON] == f"{records[-1].epsilon:.3g}"
    app = open_page(PAGE, **{state.FEDERATION: folder_name(plain)})
    assert words.EPSILON not in {metric.label for metric in app.metric}


def test_visitors_of_a_read_only_server_only_look(trained, monkeypatch):
    monkeypatch.setenv("MOCOOP_READ_ONLY", "1")
    app = open_page(PAGE)
    assert not app.exception
    assert words.WHO_HAS_WHAT in said(app)
    assert words.START not in [button.label for button in app.button]


def test_a_federation_is_started_and_compared_with_training_alone(settings, folders, monkeypatch):
    monkeypatch.setattr("app.federated.start_view.SMALL", replace(settings, foreign=1))
    app = open_page(PAGE)
    form = f"{state.FEDERATED_FORM} "
    app.selectbox(key=form + "data").set_value(settings.data)
    app.selectbox(key=form + "strategy").set_value("pfedmoap")
    app.selectbox(key=form + "partition").set_value("pathological").run()
    press(app, words.START)
    assert not app.exception, app.exception
    assert sorted(path.name.split("-")[2] for path in folders.iterdir()) == ["local", "pfedmoap"]
    for path in folders.iterdir():
        assert federations.status_of(path).state == FINISHED
    assert "points over training alone" in said(app)
    assert app.session_state[state.NOTES] == [words.DONE_BEFORE]  # the whole app shows them


def test_a_waiting_federation_is_told_by_its_settings_above_and_below(folders, settings):
    path = queue_run(folders / "albums-local-1").path
    (path / federations.REQUEST).write_text(json.dumps(settings.to_dict()))
    app = open_page(PAGE)
    assert not app.exception
    (label,) = words.labels({"one": settings}).values()
    told = f"{label}: waiting"
    below = [
        caption.value for caption in app.caption if words.in_progress(told, 0) in caption.value
    ]
    assert len(below) == 1
    assert path.name not in said(app)


def test_a_federation_that_fails_says_why_and_can_go_on(settings, folders, tmp_path):
    name = federations.start_federation(replace(settings, clients=4))  # of three classes
    status = federations.status_of(folders / name)
    assert status.state == FAILED
    assert "3 classes, so 4 clients cannot have classes of their own" in status.message
    app = open_page(PAGE)
    assert "3 classes, so 4 clients" in said(app)
    assert words.GO_ON in [button.label for button in app.button]
